"""A folder that any viewer opens: images/, masks/ and index.csv, in a format that an encoder knows."""

import csv
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt, UInt8

from foundation.export.origin import Origin

INDEX_FIELDS = ('image', 'mask', 'label', 'number', 'intensity_low', 'intensity_high')
Stored = UInt[np.ndarray, 'height width channels']
Mask = UInt8[np.ndarray, 'height width 1']


@runtime_checkable
class ImageEncoder(Protocol):
    """One image or mask as the bytes of a file."""

    def image(self, stored: Stored, label: str, number: int) -> tuple[str, bytes]:
        """The ending of the file's name, and its bytes.

        Args:
          stored: integers of the type of the data, 0 for -1 and the type's largest for 1.
          label: class name; '' without one.
          number: of the image among those of its seed.
        """

    def mask(self, mask: Mask) -> tuple[str, bytes]:
        """The same of a mask of class ids, 0 the background."""


@runtime_checkable
class Writer(Protocol):
    """Takes generated images one by one."""

    def write(self, stored: Stored, mask: Mask, label: str, number: int) -> None:
        """Writes one image.

        Args:
          stored: integers of the type of the data, 0 for -1 and the type's largest for 1.
          mask: class ids; looked at only where masks are modelled.
          label: class name; '' without one.
          number: of the image among those of its seed; each comes once, in rising order.
        """

    def finish(self) -> None:
        """Writes what can be written only when all images are there."""


class FolderWriter:
    """Writes a file for each image and mask, and a line of index.csv.

    Args:
      folder: empty.
      origin: of the images.
      encoder: knows the format.
    """

    def __init__(self, folder: Path, origin: Origin, encoder: ImageEncoder) -> None:
        self._folder, self._form, self._encoder = folder, origin.form, encoder
        (folder / 'images').mkdir()
        if self._form.mask_classes:
            (folder / 'masks').mkdir()
        self._add_line(INDEX_FIELDS)

    def write(self, stored: Stored, mask: Mask, label: str, number: int) -> None:
        """See `Writer`."""
        image_name = self._write('images', number, *self._encoder.image(stored, label, number))
        mask_name = self._write('masks', number, *self._encoder.mask(mask)) if self._form.mask_classes else ''
        low, high = self._form.intensity or ('', '')
        self._add_line((image_name, mask_name, label, number, low, high))

    def finish(self) -> None:
        """See `Writer`."""

    def _write(self, subfolder: str, number: int, ending: str, content: bytes) -> str:
        name = f'{subfolder}/{number:06d}{ending}'
        (self._folder / name).write_bytes(content)
        return name

    def _add_line(self, values: tuple[str | int | float, ...]) -> None:
        with (self._folder / 'index.csv').open('a', newline='', encoding='utf-8') as file:
            csv.writer(file, lineterminator='\n').writerow(values)
