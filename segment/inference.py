"""From images on the network's grid to class probabilities: windows, batches, devices, mirrored copies."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32

from foundation.training.mapping import create_mapper
from foundation.training.state import Variables
from segment.networks import UNet
from segment.patches import join_windows, split_windows
from segment.step import make_predict

_AXES = {'horizontal': 2, 'vertical': 1}
Images = Float32[np.ndarray, 'slices height width channel']
Probabilities = Float32[np.ndarray, 'slices height width classes']


def create_window_predictor(
    network: UNet, mesh: Mesh, batch_size: int, axes: Sequence[int]
) -> Callable[
    [Variables, Float32[np.ndarray, 'windows *space channel']], Float32[np.ndarray, 'windows *space classes']
]:
    """Returns `predict(variables, windows)`: the mean probabilities of windows and of their mirrored copies.

    Args:
      network: the segmenter.
      mesh: the devices.
      batch_size: windows at a time.
      axes: along which copies are mirrored, of images or of volumes; each doubles the work.
    """
    mapped = create_mapper(make_predict(network), mesh, batch_size)
    mirrorings = [some for count in range(len(axes) + 1) for some in itertools.combinations(axes, count)]

    def predict(
        variables: Variables, windows: Float32[np.ndarray, 'windows *space channel']
    ) -> Float32[np.ndarray, 'windows *space classes']:
        total = mapped(variables, windows)
        for flipped in mirrorings[1:]:
            total = total + np.flip(mapped(variables, np.ascontiguousarray(np.flip(windows, flipped))), flipped)
        return total / np.float32(len(mirrorings))

    return predict


def create_predictor(
    network: UNet, mesh: Mesh, *, patch: int, batch_size: int, mirror: Sequence[str]
) -> Callable[[Variables, Images], Probabilities]:
    """Returns `predict(variables, images)`: the probability of each class at each pixel.

    Images larger than a patch are cut into overlapping windows, whose probabilities are averaged with Gaussian
    weights; where one window covers an image, nothing is averaged.

    Args:
      network: the segmenter.
      mesh: the devices.
      patch: side of a window.
      batch_size: windows at a time.
      mirror: axes along which mirrored copies are averaged too; each doubles the work.
    """
    predict_windows = create_window_predictor(network, mesh, batch_size, [_AXES[name] for name in mirror])

    def predict(variables: Variables, images: Images) -> Probabilities:
        slices, height, width, _ = images.shape
        if max(height, width) <= patch:
            return predict_windows(variables, images)
        parts = []
        for number in range(slices):  # all windows of a volume at once would not fit into memory
            windows, places = split_windows(images[number : number + 1], patch)
            parts.append(join_windows(predict_windows(variables, windows), places, 1, height, width))
        return np.concatenate(parts)

    return predict
