"""Which images of new patients are strange to one who knows normal ones alone: lesions among healthy slices."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float64, Int8

import input_pipeline
from backbones.classifier import Classifier, variables_checksum
from backbones.images import ImageRequest
from backbones.networks import Features
from configs.detect.schema import DETECTOR
from configs.schema import create
from detect.anomaly.codes import read_scores
from detect.data import choose_evenly, read_batches
from detect.metrics.samples import Judged
from detect.metrics.table import count_patients, score_table
from detect.networks import choose_stages
from detect.recipe import AnomalyRecipe
from detect.scoring import Anomalies, fit_anomalies
from detect.trained_network import Images
from foundation.training import parallel
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from foundation.training.state import Variables

_BATCH_SIZE = 64
_PREVALENCE = 0.5  # of no consequence without thresholds
_NEITHER = -1


@dataclasses.dataclass(frozen=True)
class Question:
    """What is normal, and what is strange.

    Attributes:
      normal, strange: names of classes; () both: images whose masks show nothing, and those where they show some.
      modalities: of the images; () all.
      resamples: of the bootstrap over patients.
      seed: of it, and of what the fitted scores draw.
    """

    normal: tuple[str, ...]
    strange: tuple[str, ...]
    modalities: tuple[str, ...]
    resamples: int
    seed: int

    def label(self, images: input_pipeline.ImageData, *, both: bool = True) -> Int8[np.ndarray, ' image']:
        """0 for normal images, 1 for strange ones, -1 for others, in stored order.

        Args:
          images: of a split.
          both: whether masks must show something in some; not where normal images alone are looked for.

        Raises:
          UserError: when nothing tells them apart, or one kind is missing.
        """
        records = images.records
        if self.normal or self.strange:
            unknown = {*self.normal, *self.strange} - set(images.classes)
            if unknown or not (self.normal and self.strange):
                raise UserError(
                    f'--normal and --strange name classes of {images.name}, both or neither: '
                    f'{", ".join(images.classes) or "it has none"}.'
                )
            kinds = dict.fromkeys(self.normal, 0) | dict.fromkeys(self.strange, 1)
            return np.asarray([kinds.get(label, _NEITHER) for label in records.labels], np.int8)
        if both and not any(any(ids or ()) for ids in records.mask_ids):
            raise UserError(
                f'No mask of {images.name} shows anything; name its classes by --normal and --strange.'
            )
        return np.asarray([_NEITHER if ids is None else any(ids) for ids in records.mask_ids], np.int8)


def measure_strangeness(
    trained: Classifier, request: ImageRequest, question: Question, given: Mapping[str, Path]
) -> dict[str, Any]:
    """All scores of the test split as JSON has them, with intervals over patients.

    Features of the encoder are fitted on normal training images alone; scores of `given` were.

    Args:
      trained: whose features are looked at.
      request: the data set.
      question: what is asked of its images.
      given: folders of codes, see `read_scores`.

    Raises:
      UserError, DataError: when something is missing, damaged, or does not fit.
    """
    own = dataclasses.replace(request, modalities=question.modalities, classes=(), target='class')
    train, test = (own.open(split, flip=False, in_memory=False) for split in ('train', 'test'))
    labels = question.label(test)
    chosen = labels != _NEITHER
    counts = np.bincount(labels[chosen], minlength=2)
    if not counts.all():
        raise UserError(
            f'The test split of {test.name} has {counts[0]} normal and {counts[1]} strange images, where both are '
            'needed; name other classes by --normal and --strange.'
        )
    scores = read_scores(given, [key for key, own in zip(test.records.keys, chosen, strict=True) if own])
    scores |= _score(trained, train, test, chosen, question)
    patients = test.patients[chosen]
    tables = {
        name: score_table(
            Judged(own, None, labels[chosen], patients),
            None,
            prevalence=_PREVALENCE,
            resamples=question.resamples,
            seed=question.seed,
        )
        for name, own in scores.items()
    }
    return {
        'data': test.name,
        'data_fingerprint': test.fingerprint,
        'encoder_sha256': variables_checksum(trained.variables),
        'question': dataclasses.asdict(question),
        'images': dict(zip(('normal', 'strange'), counts.tolist(), strict=True)),
        'patients': dict(zip(('normal', 'strange'), count_patients(patients, labels[chosen] == 1), strict=True)),
        'scores': {
            name: {key: dataclasses.asdict(score) for key, score in table.items()}
            for name, table in tables.items()
        },
    }


def _score(
    trained: Classifier,
    train: input_pipeline.ImageData,
    test: input_pipeline.ImageData,
    chosen: np.ndarray,
    question: Question,
) -> dict[str, Float64[np.ndarray, ' image']]:
    """Scores in the features of the classifier, fitted on normal training images."""
    side, describe = trained.recipe.resolution, _make_describe(trained)
    recipe = AnomalyRecipe(**create(DETECTOR, architecture='resnet').anomaly, seed=question.seed)
    blank = describe(np.zeros((1, side, side, trained.recipe.channels), np.float32))
    channels = sum(stage.shape[-1] for stage in blank.stages)
    recipe = dataclasses.replace(recipe, padim_features=min(recipe.padim_features, channels))
    normal = choose_evenly(question.label(train, both=False) == 0, recipe.images)
    names = np.asarray(train.records.modalities)[normal]
    numbers = np.unique(names, return_inverse=True)[1].astype(np.int64)
    read = functools.partial(read_batches, train, side, _BATCH_SIZE, normal)
    anomalies = fit_anomalies(describe, recipe, read, numbers)
    every = list(_score_batches(anomalies, describe, read_batches(test, side, _BATCH_SIZE, chosen), side))
    return {name: np.concatenate([own[name] for own in every]) for name in every[0]}


def _score_batches(
    anomalies: Anomalies, describe: Callable[[Images], Features], batches: Iterator[Images], side: int
) -> Iterator[dict[str, Float64[np.ndarray, ' image']]]:
    for batch in batches:
        yield anomalies.score_features(describe(batch), side, side).scores


def _make_describe(trained: Classifier) -> Callable[[Images], Features]:
    network = trained.network

    def describe(variables: Variables, images: Array) -> Features:
        described: Features = network.apply(variables, images, train=False)
        return described._replace(stages=choose_stages(described.stages))

    mapped = create_mapper(describe, parallel.create_mesh(), _BATCH_SIZE)
    return lambda images: jax.tree.map(np.asarray, mapped(trained.variables, images))
