"""What a detector says of a split after changes of its images."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

import input_pipeline
from detect.data import read_batches
from detect.detector import TrainedDetector
from detect.trained_network import Images

Change = Callable[[Images, Int[np.ndarray, ' image']], Images]  # of images, given their places in the split

_BATCH_SIZE = 64


def logits_after(
    detector: TrainedDetector, images: input_pipeline.ImageData, changes: Mapping[str, Change]
) -> dict[str, Float64[np.ndarray, ' image']]:
    """The network's logits of a split after each of several changes, by their names; the split is read once."""
    logits: dict[str, list[np.ndarray]] = {name: [] for name in changes}
    start = 0
    for batch in read_batches(images, detector.recipe.resolution, _BATCH_SIZE, None):
        places = np.arange(start, start + len(batch))
        start += len(batch)
        for name, change in changes.items():
            said = detector.describe(change(batch, places)).logits
            logits[name].append(np.asarray(said, np.float64))
    return {name: np.concatenate(own) for name, own in logits.items()}


def on_device(change: Callable[..., Float[Array, 'batch height width channel']], *strengths: float) -> Change:
    """A change by a function of images and of strengths for each of them, compiled once."""
    compiled = jax.jit(change)

    def apply(batch: Images, places: Int[np.ndarray, ' image']) -> Images:
        full = np.concatenate([batch, np.repeat(batch[-1:], _BATCH_SIZE - len(batch), axis=0)])
        rows = (jnp.full(_BATCH_SIZE, strength) for strength in strengths)
        return np.asarray(compiled(jnp.asarray(full), *rows))[: len(batch)]

    return apply
