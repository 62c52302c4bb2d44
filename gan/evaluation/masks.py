"""Masks of generated images beside those of real ones, in the report of an evaluation."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int

import input_pipeline
from foundation.statistics.jackknife import FeatureSample, Score, deal_groups
from foundation.training import parallel
from gan.generator import TrainedGenerator
from gan.sampler import Sampler
from gan.scores.masks import measure_masks, score_masks

LARGEST = 2_000  # images of a set
MaskScores = Mapping[str, Mapping[str, Score]]


def evaluate_masks(
    trained: TrainedGenerator,
    labels: Int[np.ndarray, 'count'],
    seed: int,
    splits: Mapping[str, str],
    group_count: int,
    batch_size: int,
) -> MaskScores:
    """Measures by the name of a set; empty where the generator draws no masks.

    Args:
      trained: the generator.
      labels: classes of the generated images, which are those of the evaluation, at most LARGEST.
      seed: of their latents.
      splits: of real images, by the name of the set.
      group_count: of the jackknife.
      batch_size: images at a time.
    """
    if not trained.image_format.mask_classes:
        return {}
    sets = {'generated': _measure_generated(trained, labels[:LARGEST], seed, batch_size)}
    for name, split in splits.items():
        sets[name] = _measure_reals(trained, split, batch_size)
    return {
        name: score_masks(FeatureSample(values, deal_groups(owners, group_count), group_count))
        for name, (values, owners) in sets.items()
    }


def _measure_generated(
    trained: TrainedGenerator, labels: Int[np.ndarray, 'count'], seed: int, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    sampler = Sampler(trained.network, trained.image_format, parallel.create_mesh(), batch_size)
    measured = []
    for start in range(0, len(labels), batch_size):
        chosen = labels[start : start + batch_size]
        drawn = sampler.draw_numbered(trained.weights, seed, np.arange(start, start + len(chosen)), chosen)
        measured.append(measure_masks(np.nan_to_num(drawn.images), drawn.masks))
    return np.concatenate(measured), np.arange(len(labels))


def _measure_reals(trained: TrainedGenerator, split: str, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    images = trained.recipe.open_split(split)
    spread = np.unique(np.linspace(0, images.num_examples - 1, LARGEST).astype(int))
    chosen = images.choosing(spread) if images.num_examples > LARGEST else images
    with contextlib.closing(chosen.in_order(trained.network.resolution, batch_size)) as batches:
        columns = [(measure_masks(*_split(batch['image'], trained)), batch['patient']) for batch in batches]
    values, owners = (np.concatenate(column) for column in zip(*columns, strict=True))
    return values, owners


def _split(joined: np.ndarray, trained: TrainedGenerator) -> Iterator[np.ndarray]:
    form = trained.image_format
    return map(np.asarray, input_pipeline.split_masks(joined, form.channels, form.mask_classes))
