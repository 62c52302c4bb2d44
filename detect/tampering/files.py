"""A folder of tampered copies: what `detect.prepare` reads as altered images of real patients."""

import csv
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Shaped

from detect.sources import IMAGES, INDEX
from detect.tampering.copies import Copy
from detect.tampering.stacks import Stack, store_brightness
from foundation.export.pictures import encode_png
from input_pipeline.records import Record

MASKS = 'masks'
FIELDS = (
    'image', 'mask', 'label', 'patient', 'split', 'volume', 'row', 'column', 'slice',
    'modality', 'spacing', 'intensity', 'window',
)  # fmt: skip
_UNSAFE = re.compile(r'[^A-Za-z0-9_-]+')


@dataclasses.dataclass
class Folder:
    """Writes copies one after the other.

    Attributes:
      path: of the folder, which is there.
      data: name of the data set of the real volumes.
      count: copies so far.
    """

    path: Path
    data: str
    count: int = 0

    def __post_init__(self) -> None:
        self._write_rows([dict(zip(FIELDS, FIELDS, strict=True))])

    def add(self, stack: Stack, copy: Copy, split: str) -> None:
        """Writes every slice as it would be stored, its mask, and a line of the index."""
        name = f'{self.count:05d}_{_UNSAFE.sub("_", stack.case.name)}'
        self.count += 1
        rows = []
        for record, brightness, changed in zip(stack.case.records, copy.volume, copy.changed, strict=True):
            # The files of a volume are numbered, so that readers know them to be its slices.
            own = f'{name}/{record.key.rpartition("/")[2]}' if len(stack.volume) > 1 else name
            stored = store_brightness(record, brightness, changed)
            image = self._write_image(own, stored)
            mask = self._write_mask(own, changed)
            rows.append({'image': image, 'mask': mask} | self._describe(record, copy, split, stack.case.name))
        self._write_rows(rows)

    def _describe(self, record: Record, copy: Copy, split: str, volume: str) -> dict[str, Any]:
        """What a file does not tell: without it an altered image could not be made like the real one it was."""
        slices, row, column = copy.centre
        return {
            'label': record.label or '',
            'patient': f'{self.data}/{record.patient}',
            'split': split,
            'volume': volume,
            'row': f'{row:.1f}',
            'column': f'{column:.1f}',
            'slice': f'{slices:.1f}',
            'modality': record.modality,
            **{name: _join(getattr(record, name)) for name in ('spacing', 'intensity', 'window')},
        }

    def _write_image(self, name: str, stored: Shaped[np.ndarray, 'height width']) -> str:
        """PNG of the stored depth; TIFF for floats, which PNG has not."""
        if stored.dtype.kind == 'f':
            _, content = cv2.imencode('.tif', stored)
            return self._write(f'{IMAGES}/{name}.tif', content.tobytes())
        return self._write(f'{IMAGES}/{name}.png', encode_png(stored))

    def _write_mask(self, name: str, changed: Bool[np.ndarray, 'height width']) -> str:
        return self._write(f'{MASKS}/{name}.png', encode_png(np.where(changed, 255, 0).astype(np.uint8)))

    def _write(self, relative: str, content: bytes) -> str:
        path = self.path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return relative

    def _write_rows(self, rows: list[dict[str, Any]] | list[Mapping[str, Any]]) -> None:
        with (self.path / INDEX).open('a', newline='', encoding='utf-8') as file:
            csv.DictWriter(file, FIELDS, lineterminator='\n').writerows(rows)


def _join(numbers: tuple[float, ...]) -> str:
    return ' '.join(map(repr, numbers))
