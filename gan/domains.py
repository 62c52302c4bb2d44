"""The domains of a run that translates images: two that are opened together, or the classes of one set."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import input_pipeline
from backbones.images import DataFacts, ImageRequest, facts_from_json, facts_of
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError

DOMAINS_FILE = 'domains.json'
TrainingImages = input_pipeline.ImageData | input_pipeline.Domains


def request_target(own: Mapping[str, Any] | None, source: ImageRequest, *, paired: bool) -> ImageRequest | None:
    """The images that those of the source are translated to; None where nothing is translated.

    Args:
      own: section `target` of the config; None without.
      source: what is asked of the images to be translated.
      paired: whether both are in the same order.
    """
    if own is None:
        return None
    window = tuple(own['window_range']) if own['window'] == 'physical' else own['window']
    return dataclasses.replace(
        source,
        name=own['name'] or source.name,
        preprocessing=dataclasses.replace(source.preprocessing, window=window),
        modalities=tuple(own['modalities']),
        classes=tuple(own['classes']),
        seed=source.seed if paired else source.seed + 1,
    )


def open_domains(
    source: ImageRequest, target: ImageRequest, split: str, *, training: bool, paired: bool
) -> input_pipeline.Domains:
    """A split of both, for training or to be read once; see `input_pipeline.open_domains`."""
    return input_pipeline.open_domains(
        *(functools.partial(own.open, split, flip=training, in_memory=training) for own in (source, target)),
        data_dir=source.data_dir,
        split=split,
        paired=paired,
    )


def open_classes(request: ImageRequest, split: str) -> input_pipeline.ImageData:
    """A split for training whose classes are the domains.

    Raises:
      DataError: when it cannot be opened, or values of -1 and 1 differ among its images.
      UserError: when it has fewer than two classes, or images of none.
    """
    images = request.open(split, flip=True, in_memory=True)
    input_pipeline.require_window(images)
    if len(images.classes) < 2:
        told = f'only the class {images.classes[0]!r}' if images.classes else 'no classes'
        raise UserError(
            f'The data set {images.name!r} has {told}, and images are translated between two or more; name them '
            'in config.data.classes.'
        )
    if images.labels is None or images.labels.min() < 0:
        raise UserError(
            f'Images of the data set {images.name!r} have no class; name the classes to learn from in '
            'config.data.classes.'
        )
    return images


@dataclasses.dataclass(frozen=True)
class Domain:
    """What a run remembers of the images of a domain.

    Attributes:
      facts: of its data.
      modality: of the images, 'unknown' of several.
      name: of the class that they are of; '' where the run translates to one kind alone.
    """

    facts: DataFacts
    modality: str
    name: str

    @property
    def window(self) -> tuple[float, float]:
        """Values of -1 and 1, which are the same for all of its images."""
        assert self.facts.intensity is not None  # or it would not have been opened
        return self.facts.intensity


def domain_files(images: TrainingImages, translates: str) -> dict[str, dict[str, Any]]:
    """What a workdir keeps of each domain beside the facts of all: which values their -1 and 1 mean.

    Args:
      images: of the training.
      translates: see `Family`.
    """
    if isinstance(images, input_pipeline.Domains):
        return {DOMAINS_FILE: {'source': _describe(images.source), 'target': _describe(images.target)}}
    if not translates:
        return {}
    assert images.labels is not None  # or it would not have been opened
    places = {name: np.flatnonzero(images.labels == label) for label, name in enumerate(images.classes)}
    classes = {name: _describe(images.choosing(own)) for name, own in places.items()}
    return {DOMAINS_FILE: {'source': _describe(images), 'classes': classes}}


def _describe(images: input_pipeline.ImageData) -> dict[str, Any]:
    modalities = set(images.records.modalities)
    modality = modalities.pop() if len(modalities) == 1 else 'unknown'
    return {'facts': dataclasses.asdict(facts_of(images)), 'modality': modality}


def read_domains(workdir: Path, to: str | None) -> tuple[Domain, Domain]:
    """Source and target of the run in `workdir`.

    Args:
      workdir: of the run.
      to: the class that is the target, of a run between classes; None of other runs.

    Raises:
      UserError: when they are missing or damaged, or the run has no such target.
    """
    content = workdirs.read_json(workdir, DOMAINS_FILE)
    try:
        targets = content.get('classes', {None: content.get('target')})
        if to in targets:
            source, target = (
                Domain(facts_from_json(own['facts']), own['modality'], name)
                for own, name in ((content['source'], ''), (targets[to], to or ''))
            )
            return source, target
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f'{workdir / DOMAINS_FILE} is damaged ({error}); restore it from a copy.') from error
    if to is None or 'classes' in content:
        said = 'no class to translate to is named' if to is None else f'there is no class {to!r}'
        raise UserError(f'{workdir}: {said}; give one of {", ".join(targets)} (--to of gan.translate).')
    raise UserError(f'{workdir} holds a run that translates to one kind of images alone; leave --to out.')
