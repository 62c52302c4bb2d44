"""Scores of a generator against patients that it has not seen, beside those that other real images reach."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.accelerator.tasks import Row
from foundation.statistics.jackknife import Missing, Score, count_groups
from gan.evaluation import scoring
from gan.evaluation.extractors import RANDOM, create_extractor
from gan.evaluation.sets import create_extract, describe_generated, describe_reals, draw_labels
from gan.evaluation.statistics import ImageStatistics
from gan.generator import TrainedGenerator

_SCORES = ('kernel_distance', 'recall', 'precision')
_BATCH = 64


def score_generator(name: str, folder: Path, data_dir: str, count: int) -> Iterator[Row]:
    """A row for each score of the exported generator.

    Args:
      name: of its network.
      folder: that it was exported to.
      data_dir: where its data are; '' for the default.
      count: images to draw, and real training images for the floor, at most.
    """
    trained = TrainedGenerator.load(folder)
    images = dataclasses.replace(trained.recipe.images, data_dir=data_dir)
    trained = dataclasses.replace(trained, recipe=dataclasses.replace(trained.recipe, images=images))
    extractor = create_extractor(RANDOM)
    extract = create_extract(extractor, _BATCH)
    held_out, training = (
        describe_reals(trained, split, extractor, extract, _BATCH) for split in ('test', trained.recipe.split)
    )
    others = training if len(training) <= count else training.fewer(count)
    labels = draw_labels(training, count, trained.image_format.num_classes, seed=0)
    generated = describe_generated(trained, labels, 0, extract, _BATCH)
    groups = count_groups(held_out.owners, others.owners, np.arange(count))
    scores, floor = (_measure(described, held_out, groups) for described in (generated, others))
    for score in _SCORES:
        yield {
            'table': 'scores',
            'network': name,
            'stage': trained.position.phase,
            'score': score.replace('_', ' '),
            **_describe(scores[score], ''),
            **_describe(floor[score], 'floor '),
            'generated': count,
            'held out': len(held_out),
        }


def _measure(judged: ImageStatistics, reference: ImageStatistics, group_count: int) -> scoring.Scores:
    if group_count < 2:
        return dict.fromkeys(_SCORES, Missing('needs two held-out patients.'))
    return scoring.measure_features(judged, reference, group_count)


def _describe(score: Score, prefix: str) -> Row:
    if isinstance(score, Missing):
        return {f'{prefix}value': None, f'{prefix}interval': score.reason}
    low, high = score.interval()
    return {f'{prefix}value': score.value, f'{prefix}interval': f'{low:.3g} to {high:.3g}'}
