"""How good a segmenter is on the validation split while it is trained, on the grid of the network."""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Integer

import input_pipeline
from foundation.training.state import Variables
from input_pipeline.volumes import Volume
from segment.inference import Images, Probabilities
from segment.volumes import PredictVolume

_BATCH = 32


@dataclasses.dataclass(frozen=True, eq=False)
class DiceCounts:
    """Pixels of each class of each patient: true, predicted, and both."""

    counts: Float[np.ndarray, '3 patients classes']

    @classmethod
    def create(cls, patients: int, mask_classes: int) -> 'DiceCounts':
        """Nothing yet."""
        return cls(np.zeros((3, patients, mask_classes)))

    def add(
        self, patient: int, truth: Integer[np.ndarray, '*space'], predicted: Integer[np.ndarray, '*space']
    ) -> None:
        """Counts the pixels of an image; those whose true id is higher than any class do not count."""
        known = truth <= self.counts.shape[2]
        for index in range(self.counts.shape[2]):
            is_true, is_predicted = truth == index + 1, (predicted == index + 1) & known
            both = np.count_nonzero(is_true & is_predicted)
            self.counts[:, patient, index] += np.count_nonzero(is_true), np.count_nonzero(is_predicted), both

    def mean(self) -> Float[np.ndarray, ' classes']:
        """Dice of each class, the mean over patients; see `measure_dice`."""
        true, predicted, both = self.counts
        total = true + predicted
        dice = np.divide(2 * both, total, out=np.full_like(total, np.nan), where=total > 0)
        counted, empty = ~np.isnan(dice), np.full(dice.shape[1], np.nan)
        return np.divide(np.nansum(dice, axis=0), counted.sum(axis=0), out=empty, where=counted.any(axis=0))


def measure_dice(
    predict: Callable[[Variables, Images], Probabilities],
    variables: Variables,
    images: input_pipeline.ImageData,
    resolution: int,
    mask_classes: int,
) -> Float[np.ndarray, ' classes']:
    """Dice of each foreground class: the mean over patients, of all pixels of each.

    A patient who has none of a class counts 0 where some of it is predicted, and else is left out (nnU-Net); a
    class that no patient has is NaN.

    Args:
      predict, variables: the segmenter.
      images: a split.
      resolution, mask_classes: of its images.
    """
    counts = DiceCounts.create(int(images.patients.max()) + 1, mask_classes)
    with contextlib.closing(images.in_order(resolution, _BATCH)) as batches:
        for batch in batches:
            pictures, truth = input_pipeline.split_masks(batch['image'], images.channels, mask_classes)
            predicted = predict(variables, np.ascontiguousarray(pictures)).argmax(axis=-1)
            for patient, own, other in zip(batch['patient'], truth[..., 0], predicted, strict=True):
                counts.add(int(patient), own, other)
    return counts.mean()


def measure_volume_dice(
    predict: PredictVolume, variables: Variables, volumes: input_pipeline.VolumeData, mask_classes: int
) -> Float[np.ndarray, ' classes']:
    """As `measure_dice`, of a network of volumes.

    Args:
      predict, variables: the segmenter.
      volumes: of a split.
      mask_classes: of their masks.
    """
    counts = DiceCounts.create(int(volumes.patients.max()) + 1, mask_classes)
    for volume in volumes.volumes():
        for place, own in enumerate(predict(variables, volume.images(), volume.count)):
            counts.add(volume.patient, volume.read(place).ids, own.argmax(axis=-1))
    return counts.mean()


def choose_slices(volumes: input_pipeline.VolumeData, count: int) -> tuple[Volume, list[int]]:
    """Some slices that show foreground, evenly spread, of the first volume that has any; else any of the first."""
    first = None
    for volume in volumes.volumes():
        ids = (volume.read(place).ids for place in range(volume.count))
        marked = [place for place, own in enumerate(ids) if ((own > 0) & (own != input_pipeline.OUTSIDE)).any()]
        first = first or volume
        if marked:
            return volume, [marked[place] for place in _spread(len(marked), count)]
    assert first is not None
    return first, _spread(first.count, count)


def _spread(size: int, count: int) -> list[int]:
    return np.linspace(0, size - 1, min(count, size)).astype(int).tolist()
