"""A run between classes: are its images of the class that was asked for, and how wrong are they?"""

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

import input_pipeline
from backbones.extractors import restore_classifier
from backbones.images import DataFacts, read_facts
from foundation.statistics.resampling import Mean
from foundation.training import parallel
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from gan.translation.measures import Draw, Images
from gan.translation.pairs import (
    PairReport,
    average,
    describe_mean,
    describe_pairs,
    evaluate_pairs,
    list_methods,
    tabulate_pairs,
    tell_mean,
)
from gan.translation.translator import Translator

_BATCH = 64
MEANING = 'images of 100 that a classifier of real images calls what they should be'
Name = Callable[[Images], Int[np.ndarray, ' count']]  # the class of each, among those of the run


@dataclasses.dataclass(frozen=True)
class ClassReport:
    """What was found of all translations from one class to another.

    Attributes:
      pairs: by 'A to B': the errors of its pairs, or why there are none.
      named: share of the images of the right class in percent, by method and by 'A to B', and 'all', the mean over
        these; of `real` images by their class; empty without a classifier.
    """

    pairs: Mapping[str, PairReport | str]
    named: Mapping[str, Mapping[str, Mean]]


def load_classifier(workdir: Path, facts: DataFacts) -> Name:
    """A classifier of the classes of a run, from the workdir where `backbones.main` trained it.

    Raises:
      UserError: when it cannot be read, knows other classes, or saw its images in another window.
    """
    extractor, seen = restore_classifier(workdir), read_facts(workdir)
    if set(extractor.classes) != set(facts.classes):
        raise UserError(
            f'{workdir}: the classifier knows {", ".join(extractor.classes)}, and the run '
            f'{", ".join(facts.classes)}; train one on the same images.'
        )
    if seen.intensity != facts.intensity:
        raise UserError(
            f'{workdir}: the classifier was trained on images in another window than the run; train it with the '
            "same config.data.window ('dataset' or 'physical')."
        )
    order = np.array([facts.classes.index(name) for name in extractor.classes])
    mapped = create_mapper(extractor.extract, parallel.create_mesh(), _BATCH)
    return lambda images: order[mapped(extractor.variables, images).probabilities.argmax(axis=-1)]


def evaluate_classes(translators: Mapping[str, Translator], split: str, name: Name | None) -> ClassReport:
    """Measures all translations of a split.

    Args:
      translators: by the class that they translate to.
      split: see above.
      name: a classifier; None without.

    Raises:
      DataError: when the data are missing.
    """
    classes = tuple(translators)
    pairs: dict[str, PairReport | str] = {}
    named: dict[str, dict[str, Float[np.ndarray, ' count']]] = {}
    patients: dict[str, np.ndarray] = {}
    for one, other in itertools.product(classes, repeat=2):
        translator, direction = translators[other], f'{one} to {other}'
        whole = translator.run.recipe.images
        source, target = (dataclasses.replace(whole, classes=(own,)) for own in (one, other))
        if one == other:
            direction, methods = one, {'real': lambda images: images}
        else:
            methods = list_methods(translator, (source, target))
            try:
                pairs[direction] = evaluate_pairs(translator, methods, (source, target), split)
            except input_pipeline.NoPairsError as error:
                pairs[direction] = str(error)
        if name is not None:
            images = source.open(split, flip=False, in_memory=False)
            patients[direction] = np.asarray(images.records.patients)
            for method, own in _name_all(images, methods, name, classes.index(other)).items():
                named.setdefault(method, {})[direction] = own
    return ClassReport(pairs, {method: _average_all(own, patients) for method, own in named.items()})


def _name_all(
    images: input_pipeline.ImageData, methods: Mapping[str, Draw], name: Name, wanted: int
) -> dict[str, Float[np.ndarray, ' count']]:
    """100 for each image that is of the wanted class after each method, 0 for others."""
    found: dict[str, list[np.ndarray]] = {method: [] for method in methods}
    with contextlib.closing(images.in_order(images.preprocessing.resolution, _BATCH)) as batches:
        for batch in batches:
            for method, draw in methods.items():
                found[method].append(100.0 * (name(draw(batch['image'])) == wanted))
    return {method: np.concatenate(own) for method, own in found.items()}


def _average_all(
    values: Mapping[str, Float[np.ndarray, ' count']], patients: Mapping[str, np.ndarray]
) -> dict[str, Mean]:
    every = average([*values.values()], [patients[direction] for direction in values])
    return {'all': every} | {direction: average([own], [patients[direction]]) for direction, own in values.items()}


def describe_classes(report: ClassReport) -> dict[str, Any]:
    """A report as JSON has it."""
    pairs = {
        direction: {'reason': own} if isinstance(own, str) else describe_pairs(own)
        for direction, own in report.pairs.items()
    }
    named = {
        method: {direction: describe_mean(mean, 0, 100) for direction, mean in own.items()}
        for method, own in report.named.items()
    }
    return {'directions': pairs, 'named': named, 'meaning': MEANING}


def draw_worst(report: ClassReport) -> dict[str, UInt8[np.ndarray, 'height width 3']]:
    """Pictures of the worst pairs of each direction, by the names of their files."""
    return {
        f'worst_{number:02d}_{re.sub(r"[^0-9A-Za-z]+", "_", direction)}.png': own.worst
        for number, (direction, own) in enumerate(report.pairs.items(), 1)
        if not isinstance(own, str)
    }


def tabulate_classes(report: ClassReport) -> str:
    """The same as lines for people."""
    lines = []
    for direction, own in report.pairs.items():
        lines += [f'{direction}:', own if isinstance(own, str) else tabulate_pairs(own), '']
    if not report.named:
        lines.append('Whether images are of their class was not asked: name a classifier by --extractor.')
        return '\n'.join(lines)
    lines.append(f'{MEANING}:')
    for method, means in report.named.items():
        lines += [f'  {method:<11} {direction:<12} {tell_mean(mean, 0, 100)}' for direction, mean in means.items()]
    return '\n'.join(lines)
