"""What a detector says of a split after changes of its images."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

import input_pipeline
from detect.data import read_batches
from detect.detector import TrainedDetector
from detect.sheets import join_tiles, split_tiles
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


def by_tile(detector: TrainedDetector, change: Change) -> Change:
    """The change of images as one of what the detector sees: of each tile by itself, where that is sheets."""
    sheet = detector.recipe.sheet
    if sheet is None:
        return change

    def apply(batch: Images, places: Int[np.ndarray, ' image']) -> Images:
        tiles, owners = split_tiles(batch, sheet.tile), np.repeat(places, sheet.lines**2)
        starts = range(0, len(tiles), _BATCH_SIZE)
        parts = [change(tiles[at : at + _BATCH_SIZE], owners[at : at + _BATCH_SIZE]) for at in starts]
        return join_tiles(np.concatenate(parts), sheet.lines)

    return apply


def on_device(change: Callable[..., Float[Array, 'batch height width channel']], *strengths: float) -> Change:
    """A change by a function of images and of strengths for each of them, compiled once."""
    compiled = jax.jit(change)

    def apply(batch: Images, places: Int[np.ndarray, ' image']) -> Images:
        full = np.concatenate([batch, np.repeat(batch[-1:], _BATCH_SIZE - len(batch), axis=0)])
        rows = (jnp.full(_BATCH_SIZE, strength) for strength in strengths)
        return np.asarray(compiled(jnp.asarray(full), *rows))[: len(batch)]

    return apply
