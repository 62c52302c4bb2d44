"""Pictures for people: grids of images, with masks drawn over them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

import input_pipeline
from foundation.export.pictures import MASK_COLOURS, encode_png
from foundation.files import write_file

TITLE_HEIGHT = 14  # pixels of the line over a grid
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


def draw_rows(
    parts: Sequence[Float[np.ndarray, 'count height width _']], columns: int, channels: int, mask_classes: int
) -> UInt8[np.ndarray, 'rows_height columns_width 3']:
    """Rows of the first images, each above rows of what belongs to them; what does not fill a row is left out."""
    count = len(parts[0]) // columns * columns or len(parts[0])
    columns, shape = min(columns, count), parts[0].shape[1:]
    rows = np.stack([part[:count].reshape(-1, columns, *shape) for part in parts], axis=1)
    return draw_grid(rows.reshape(-1, *shape), columns, channels, mask_classes)


def title_classes(
    grid: UInt8[np.ndarray, 'height width 3'], classes: Sequence[str], columns: int
) -> UInt8[np.ndarray, 'taller width 3']:
    """The grid below a line that names the classes, which its images have in turn.

    Each name stands over its column, where every column has one class; otherwise all stand in their order.
    """
    if not classes:
        return grid
    line = Image.new('RGB', (grid.shape[1], TITLE_HEIGHT), 'white')
    draw, cell = ImageDraw.Draw(line), grid.shape[1] // columns
    if columns % len(classes):
        draw.text((2, 1), f'in turn: {", ".join(classes)}', fill='black')
    else:
        for column in range(columns):
            name = Image.new('RGB', (cell - 2, TITLE_HEIGHT), 'white')  # cuts a long one off
            ImageDraw.Draw(name).text((1, 1), classes[column % len(classes)], fill='black')
            line.paste(name, (column * cell, 0))
    return np.concatenate([np.asarray(line), grid])


def save_picture(picture: UInt8[np.ndarray, 'height width 3'], path: Path) -> None:
    """Writes a PNG atomically."""
    write_file(path, encode_png(picture))


def _to_colours(pictures: np.ndarray) -> np.ndarray:
    """Any number of channels as three: grey is repeated, of more than three the first three are shown."""
    pictures = np.clip((pictures + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
    return pictures[..., :3] if pictures.shape[-1] >= 3 else np.repeat(pictures[..., :1], 3, axis=-1)


def _tint(colours: np.ndarray, masks: np.ndarray) -> np.ndarray:
    tint = MASK_COLOURS[(masks.astype(int) - 1) % len(MASK_COLOURS)]
    blended = 0.55 * colours + 0.45 * tint
    return np.where(masks[..., None] > 0, blended, colours).astype(np.uint8)
