"""Masks of generated images beside those of real ones, in the report of an evaluation."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Float64, UInt8

import input_pipeline
from foundation.statistics.jackknife import FeatureSample, Score, deal_groups
from gan.evaluation.agreement import Pairs
from gan.generator import TrainedGenerator
from gan.scores.masks import measure_masks, score_masks

LARGEST = 2_000  # images of a set
_PAIR_BYTES = 2**29  # of the images of a set that a segmenter is asked of
MaskScores = Mapping[str, Mapping[str, Score]]


class DrawnMasks:
    """The masks of generated images, measured as the images pass by: at most LARGEST of them.

    Args:
      stored: type in which images are kept beside their masks, to be asked of a segmenter; None keeps none.
    """

    def __init__(self, stored: np.dtype | None = None) -> None:
        self._rows: list[Float64[np.ndarray, 'batch measure']] = []
        self._count, self._stored = 0, stored
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []

    def add(
        self, images: Float[np.ndarray, 'batch height width channel'], masks: UInt8[np.ndarray, '...']
    ) -> None:
        """Measures some more; `masks` as `measure_masks` takes them."""
        left = LARGEST - self._count
        if left > 0:
            shown = np.nan_to_num(images[:left])
            self._rows.append(measure_masks(shown, masks[:left]))
            if self._stored is not None:
                room = _pair_count(shown, self._stored) - self._count
                self._kept.append((input_pipeline.from_unit(shown, self._stored)[: max(room, 0)], masks[:left]))
            self._count += len(self._rows[-1])

    def pairs(self) -> Pairs:
        """The images that were kept, with their masks."""
        images, masks = (np.concatenate(column) for column in zip(*self._kept, strict=True))
        return Pairs(images, masks[: len(images)], np.arange(len(images)))

    def score(self, group_count: int) -> dict[str, Score]:
        """Each measure with its interval; every image is a group's own."""
        values = np.concatenate(self._rows)
        return score_masks(FeatureSample(values, deal_groups(np.arange(len(values)), group_count), group_count))


def _pair_count(images: np.ndarray, stored: np.dtype) -> int:
    """Images of a set that are kept, at most."""
    return min(LARGEST, max(_PAIR_BYTES // (images[0].size * stored.itemsize), 1))


def read_pairs(trained: TrainedGenerator, split: str, batch_size: int) -> Pairs:
    """Real images of a split as a run sees them, with their masks; evenly spread, where they are too many."""
    rows = _read_spread(trained, split, batch_size)
    stored = np.dtype(trained.facts.dtype)
    columns = [
        (input_pipeline.from_unit(images, stored), masks, batch['patient'])
        for batch in rows
        for images, masks in [_split(batch['image'], trained)]
    ]
    images, masks, owners = (np.concatenate(column) for column in zip(*columns, strict=True))
    kept = np.unique(np.linspace(0, len(images) - 1, _pair_count(images, stored)).astype(int))
    return Pairs(images[kept], masks[kept], owners[kept])


class RealMasks:
    """The masks of real images: measured once for all runs that see them alike.

    Args:
      splits: of real images, by the name of the set.
      group_count: of the jackknife.
      batch_size: images at a time.
    """

    def __init__(self, splits: Mapping[str, str], group_count: int, batch_size: int) -> None:
        self._splits, self._group_count, self._batch_size = splits, group_count, batch_size
        self._known: dict[input_pipeline.Preprocessing, MaskScores] = {}

    def score(self, trained: TrainedGenerator) -> MaskScores:
        """Scores by the name of the set, of the images as this run sees them."""
        form = trained.recipe.images.preprocessing
        if form not in self._known:
            self._known[form] = {name: self._measure(trained, split) for name, split in self._splits.items()}
        return self._known[form]

    def _measure(self, trained: TrainedGenerator, split: str) -> dict[str, Score]:
        values, owners = _measure_reals(trained, split, self._batch_size)
        return score_masks(FeatureSample(values, deal_groups(owners, self._group_count), self._group_count))


def _measure_reals(trained: TrainedGenerator, split: str, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    columns = [
        (measure_masks(*_split(batch['image'], trained)), batch['patient'])
        for batch in _read_spread(trained, split, batch_size)
    ]
    values, owners = (np.concatenate(column) for column in zip(*columns, strict=True))
    return values, owners


def _read_spread(trained: TrainedGenerator, split: str, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of at most LARGEST images of a split, evenly spread."""
    images = trained.recipe.open_split(split)
    spread = np.unique(np.linspace(0, images.num_examples - 1, LARGEST).astype(int))
    chosen = images.choosing(spread) if images.num_examples > LARGEST else images
    with contextlib.closing(chosen.in_order(trained.network.resolution, batch_size)) as batches:
        yield from batches


def _split(joined: np.ndarray, trained: TrainedGenerator) -> Iterator[np.ndarray]:
    form = trained.image_format
    return map(np.asarray, input_pipeline.split_masks(joined, form.channels, form.mask_classes))
