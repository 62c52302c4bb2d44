"""One picture of all grids of generated images, small enough to come home."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

LARGEST = 9 * 2**20  # bytes, so that it fits beside the weights
_WIDTH = 2048
_CAPTION = 40  # pixels
_SCALE = 0.75  # of each attempt to the one before


@dataclasses.dataclass(frozen=True)
class Strip:
    """One grid and what is written above it."""

    caption: str
    picture: UInt8[np.ndarray, 'height width 3']


def draw_sheet(strips: Sequence[Strip], path: Path) -> None:
    """Writes the grids, one below the other and equally wide, as a PNG of LARGEST bytes at most; atomically."""
    sheet = np.concatenate([part for strip in strips for part in _draw_strip(strip)])
    content = _encode(sheet)
    while len(content) > LARGEST:
        sheet = cv2.resize(sheet, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_AREA)
        content = _encode(sheet)
    temporary = path.with_name(f'.{path.name}')
    temporary.write_bytes(content)
    temporary.replace(path)


def _draw_strip(strip: Strip) -> tuple[np.ndarray, np.ndarray]:
    height, width, _ = strip.picture.shape
    size = (_WIDTH, round(height * _WIDTH / width))
    kind = cv2.INTER_AREA if width > _WIDTH else cv2.INTER_NEAREST
    caption = np.zeros((_CAPTION, _WIDTH, 3), np.uint8)
    cv2.putText(caption, strip.caption, (8, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 1, cv2.LINE_AA)
    return caption, cv2.resize(strip.picture, size, interpolation=kind)


def _encode(picture: UInt8[np.ndarray, 'height width 3']) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format='PNG')
    return buffer.getvalue()
