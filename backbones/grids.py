"""Pictures for people: grids of images, with masks drawn over them."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

import input_pipeline
from foundation.export.pictures import encode_png
from foundation.files import write_file

_MASK_COLOURS = np.asarray(
    [[230, 60, 50], [60, 160, 230], [80, 200, 90], [240, 180, 40], [170, 90, 210]], np.float32
)
_SMALLEST_CELL = 64  # pixels; smaller images are enlarged so that they can be seen


def draw_grid(
    images: Float[np.ndarray, 'count height width _'], columns: int, channels: int, mask_classes: int
) -> UInt8[np.ndarray, 'rows_height columns_width 3']:
    """Images in [-1, 1], row by row; foreground of the masks is tinted."""
    pictures, masks = input_pipeline.split_masks(images, channels, mask_classes)
    colours = _to_colours(np.asarray(pictures))
    if mask_classes:
        colours = _tint(colours, np.asarray(masks)[..., 0])
    count, height, width, _ = colours.shape
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, height, width, 3), np.uint8)
    padded[:count] = colours
    grid = padded.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, -1, 3)
    scale = max(_SMALLEST_CELL // height, 1)
    return grid.repeat(scale, axis=0).repeat(scale, axis=1)


def save_picture(picture: UInt8[np.ndarray, 'height width 3'], path: Path) -> None:
    """Writes a PNG atomically."""
    write_file(path, encode_png(picture))


def _to_colours(pictures: np.ndarray) -> np.ndarray:
    """Any number of channels as three: grey is repeated, of more than three the first three are shown."""
    pictures = np.clip((pictures + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
    return pictures[..., :3] if pictures.shape[-1] >= 3 else np.repeat(pictures[..., :1], 3, axis=-1)


def _tint(colours: np.ndarray, masks: np.ndarray) -> np.ndarray:
    tint = _MASK_COLOURS[(masks.astype(int) - 1) % len(_MASK_COLOURS)]
    blended = 0.55 * colours + 0.45 * tint
    return np.where(masks[..., None] > 0, blended, colours).astype(np.uint8)
