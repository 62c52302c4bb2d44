"""Volumes for a network in 3-D: patches to train on; prediction in overlapping windows, slab by slab.

Memory holds the slices of two windows, whatever the size of a volume.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np
import tqdm
from jax.sharding import Mesh
from jaxtyping import Float32

from foundation.training.feed import Batches, host_feed
from foundation.training.state import Variables
from input_pipeline import PatchShape, VolumeData
from segment.inference import create_window_predictor
from segment.networks import UNet
from segment.patches import gaussian_line, gaussian_weights, window_starts

_AXES = {'depth': 1, 'vertical': 2, 'horizontal': 3}
_LOWEST = -1.0  # intensity behind the last slice
Slice = Float32[np.ndarray, 'height width channel']
SliceProbabilities = Float32[np.ndarray, 'height width classes']
# `predict(variables, slices, count)`: the probabilities of so many slices, which are asked for in order.
PredictVolume = Callable[[Variables, Iterator[Slice], int], Iterator[SliceProbabilities]]


def open_patches(
    volumes: VolumeData, shape: PatchShape, batch_size: int, mesh: Mesh, position: int, sizes: Iterator[int]
) -> Iterator[Batches]:
    """Batches of patches from `position` on, cut on the host a call ahead."""
    process, count = jax.process_index(), jax.process_count()
    batches = volumes.batches(shape, position, batch_size, process_index=process, process_count=count)
    return host_feed(batches, mesh, sizes=sizes)


def patch_shapes(shape: PatchShape, batch_size: int, channels: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of one global batch of patches."""
    size = (batch_size, shape.slices, shape.side, shape.side)
    return {
        'image': jax.ShapeDtypeStruct((*size, channels), np.float32),
        'ids': jax.ShapeDtypeStruct(size, np.uint8),
    }


def create_volume_predictor(
    network: UNet, mesh: Mesh, *, shape: PatchShape, batch_size: int, mirror: Sequence[str]
) -> PredictVolume:
    """Returns `predict(variables, slices, count)`: the probability of each class at each pixel, slice by slice.

    Volumes larger than a window are cut into overlapping ones, whose probabilities are averaged with Gaussian
    weights; where one window covers a volume, nothing is averaged. Kept are the slices of two windows.

    Args:
      network: the segmenter.
      mesh: the devices.
      shape: of a window.
      batch_size: windows at a time.
      mirror: axes along which mirrored copies are averaged too; each doubles the work.
    """
    predict_windows = create_window_predictor(network, mesh, batch_size, [_AXES[name] for name in mirror])

    def predict(variables: Variables, slices: Iterator[Slice], count: int) -> Iterator[SliceProbabilities]:
        slabs = _cut_slabs(slices, shape.slices, count)
        starts = window_starts(count, shape.slices)
        told = tqdm.tqdm(
            slabs, total=len(starts), unit=' slabs', leave=False, disable=True if len(starts) == 1 else None
        )
        predicted = (_predict_slab(predict_windows, variables, slab, shape.side) for slab in told)
        yield from itertools.islice(_join_slabs(predicted, starts, shape.slices), count)

    return predict


def _cut_slabs(
    slices: Iterator[Slice], length: int, count: int
) -> Iterator[Float32[np.ndarray, 'slices _ _ channel']]:
    """Neighbouring slices, so many at a time; a volume of fewer is followed by the darkest value."""
    kept: list[np.ndarray] = []
    first = 0
    for start in window_starts(count, length):
        kept, first = kept[start - first :], int(start)
        kept += itertools.islice(slices, min(length, count) - len(kept))
        yield np.stack([*kept, *[np.full_like(kept[0], _LOWEST)] * (length - len(kept))])


def _predict_slab(
    predict: Callable[[Variables, np.ndarray], np.ndarray], variables: Variables, slab: np.ndarray, side: int
) -> Float32[np.ndarray, 'slices height width classes']:
    """The weighted mean of all windows over each pixel; of one window, that itself."""
    _, height, width, _ = slab.shape
    rows, columns = window_starts(height, side), window_starts(width, side)
    weights = gaussian_weights(side)
    total, weight = None, np.zeros((height, width, 1), np.float32)
    for row in rows:  # the windows of all rows at once would be as large as the slab four times
        windows = np.stack([slab[:, row : row + side, column : column + side] for column in columns])
        for column, own in zip(columns, predict(variables, windows), strict=True):
            if len(rows) == len(columns) == 1:
                return own
            total = np.zeros((*slab.shape[:-1], own.shape[-1]), np.float32) if total is None else total
            total[:, row : row + side, column : column + side] += weights * own
            weight[row : row + side, column : column + side] += weights
    assert total is not None
    total /= weight
    return total


def _join_slabs(
    slabs: Iterator[Float32[np.ndarray, 'slices height width classes']], starts: np.ndarray, length: int
) -> Iterator[SliceProbabilities]:
    """The weighted mean of all slabs over each slice, as soon as no other holds it; of one slab, that itself."""
    if len(starts) == 1:
        yield from next(slabs)
        return
    line = gaussian_line(length).astype(np.float32)
    total, weight = None, np.zeros(length, np.float32)
    for slab, start, end in zip(slabs, starts, [*starts[1:], starts[-1] + length], strict=True):
        total = np.zeros_like(slab) if total is None else total
        for place in range(length):
            total[place] += line[place] * slab[place]
        weight += line
        done = end - start
        for place in range(done):
            yield total[place] / weight[place]
        for array in (total, weight):
            array[: length - done] = array[done:].copy()
            array[length - done :] = 0


def read_in_order(slices: Iterable[SliceProbabilities]) -> Callable[[int], SliceProbabilities]:
    """Gives slices by their numbers, which rise; those between are passed over."""
    numbered = enumerate(slices)

    def read(wanted: int) -> SliceProbabilities:
        return next(own for number, own in numbered if number == wanted)

    return read
