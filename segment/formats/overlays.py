"""A sheet for people: the slices with most foreground, contours of the classes over them, and a legend."""

import functools
import io
from typing import Any

import cv2
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from foundation.export.pictures import MASK_COLOURS
from input_pipeline import Record
from input_pipeline.preprocessing import apply_window
from segment.formats.prediction import Prediction

_MOST_SLICES = 12
_COLUMNS = 4
_SIDE, _LONE_SIDE = 256, 512  # pixels of the longer side of a slice among others, and of a picture alone
_GAP = 8
_LINE = 20  # pixels of a line of text
_SMALLEST_WIDTH = 400  # so that the legend has room
_TEXT, _GROUND, _TINT = (225, 225, 225), (24, 24, 24), (205, 255, 0)
_DOUBTFUL = 64  # a quarter: another class, or several, have so much of the probability


def draw_overlay(prediction: Prediction) -> bytes:
    """The sheet as PNG; colours repeat after the eighth class."""
    chosen = choose_slices(prediction.masks)
    side = _LONE_SIDE if len(prediction.masks) == 1 else _SIDE
    records, doubts = prediction.case.records, prediction.segmentation.doubt
    tiles = [
        draw_contours(records[index], prediction.masks[index], side=side, doubt=doubts[index]) for index in chosen
    ]
    height, width = tiles[0].shape[:2]
    columns = min(_COLUMNS, len(tiles))
    sheet_width = max(columns * (width + _GAP) + _GAP, _SMALLEST_WIDTH)
    entries = _arrange_legend(prediction, sheet_width)
    top = _GAP + _LINE + (entries[-1][1] + 1) * _LINE + _GAP
    rows = -(-len(tiles) // columns)
    sheet = Image.new('RGB', (sheet_width, top + rows * (height + _LINE + _GAP)), _GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), prediction.incoming.name, fill=_TEXT, font=_font())
    for x, line, colour, text in entries:
        y = _GAP + (line + 1) * _LINE
        draw.rectangle((x, y + 3, x + 10, y + 13), fill=colour)
        draw.text((x + 16, y), text, fill=_TEXT, font=_font())
    for place, (index, tile) in enumerate(zip(chosen, tiles, strict=True)):
        x, y = _GAP + place % columns * (width + _GAP), top + place // columns * (height + _LINE + _GAP)
        sheet.paste(Image.fromarray(tile), (x, y))
        if len(prediction.masks) > 1:
            draw.text((x, y + height + 2), f'slice {index}', fill=_TEXT, font=_font())
    file = io.BytesIO()
    sheet.save(file, format='PNG')
    return file.getvalue()


def choose_slices(masks: UInt8[np.ndarray, 'slices height width']) -> Int[np.ndarray, ' chosen']:
    """At most twelve slices in their order: those with most foreground, or where there is none an even spread."""
    foreground = np.count_nonzero(masks, axis=(1, 2))
    if not foreground.any():
        count = min(_MOST_SLICES, len(masks))
        return (2 * np.arange(count) + 1) * len(masks) // (2 * count)
    most = np.argsort(-foreground, kind='stable')[:_MOST_SLICES]
    return np.sort(most[foreground[most] > 0])


def draw_contours(
    record: Record,
    mask: UInt8[np.ndarray, 'height width'],
    *,
    side: int,
    doubt: UInt8[np.ndarray, 'height width'] | None = None,
) -> UInt8[np.ndarray, 'rows columns 3']:
    """One image in its window and in the aspect of its spacing, with a line around every region of a class.

    Args:
      record: the image.
      mask: class ids.
      side: pixels of the longer side of the result.
      doubt: see `Segmentation`; where it is high the image is tinted.
    """
    shown = apply_window(record.image, record.intensity, record.window)
    colours = shown[..., :3] if shown.shape[-1] >= 3 else np.repeat(shown[..., :1], 3, axis=-1)
    size = _size_in_aspect(record, side)
    shrinks = size[0] < mask.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    picture: Any = cv2.resize(np.rint(255 * colours).astype(np.uint8), size, interpolation=interpolation)
    if doubt is not None:
        tinted = cv2.resize((doubt >= _DOUBTFUL).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
        picture[tinted] = np.rint(0.6 * picture[tinted] + 0.4 * np.array(_TINT)).astype(np.uint8)
    for class_id in np.unique(mask[mask > 0]):
        region = cv2.resize((mask == class_id).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
        contours, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, _colour(int(class_id)), 1)
    return picture


def _size_in_aspect(record: Record, side: int) -> tuple[int, int]:
    """Width and height."""
    rows, columns, _ = record.spacing
    height, width = record.image.shape[0] * (rows or 1.0), record.image.shape[1] * (columns or 1.0)
    longer = max(height, width)
    return max(1, round(width * side / longer)), max(1, round(height * side / longer))


def _arrange_legend(prediction: Prediction, width: int) -> list[tuple[int, int, tuple[int, int, int], str]]:
    """Place, line, colour and text of every class that was found."""
    found = prediction.measure()
    entries = []
    x, line = _GAP, 0
    for number, name in enumerate(prediction.classes, 1):
        if name not in found:
            continue
        millilitres = found[name]['ml']
        size = f'{found[name]["pixels"]} pixels' if millilitres is None else f'{millilitres:.3g} ml'
        text = f'{name}: {size}'
        needed = 16 + round(_font().getlength(text)) + 2 * _GAP
        if x > _GAP and x + needed > width:
            x, line = _GAP, line + 1
        entries.append((x, line, _colour(number), text))
        x += needed
    if not entries:
        entries = [(_GAP, 0, _GROUND, 'no class was found')]
    if (prediction.segmentation.doubt >= _DOUBTFUL).any():
        entries.append((_GAP, line + 1, _TINT, 'in doubt: a quarter of the probability, or more, is elsewhere'))
    return entries


def _colour(class_id: int) -> tuple[int, int, int]:
    red, green, blue = MASK_COLOURS[(class_id - 1) % len(MASK_COLOURS)].tolist()
    return red, green, blue


@functools.cache
def _font() -> Any:
    return ImageFont.load_default(13)
