"""Label maps among images that no name tells apart: known by their values, and by an image on the same pixels.

A file is taken for a label map where it holds few whole numbers, they lie in patches, and a file of the same
folder or patient, of the same size and place, holds an image. Where all files hold few values, these are what
images of this kind look like, and all of them are kept.
"""

import collections
from collections.abc import Callable, Hashable
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Shaped

from input_pipeline.errors import DataError

_MOST_VALUES = 20
_EQUAL = 0.9  # share of neighbours with one value, at least
_LOOKED_AT = 50  # files of a group, evenly spread, among which an image is looked for
KEEP = '--keep_label_maps keeps it where it is an image'


def is_label_map(values: Shaped[np.ndarray, 'rows columns *more']) -> bool:
    """Whether there are two to twenty values, all whole, and nine of ten neighbours along a row are equal."""
    some = values.ravel(order='K')[:: max(1, values.size // 200)]
    if values.dtype.kind not in 'buif' or len(set(some.tolist())) > _MOST_VALUES:
        return False
    present: set[float] = set()
    for row in values:
        present.update(np.unique(row).tolist())
        if len(present) > _MOST_VALUES:
            return False
    is_whole = len(present) > 1 and all(float(value).is_integer() for value in present)
    return is_whole and float((values[:, 1:] == values[:, :-1]).mean()) >= _EQUAL


class ImagesBeside:
    """The files of a scan that share their folder or patient, and their grid of pixels.

    Args:
      read: gives the values of a file as `check` is given them; raises DataError where it cannot.
      keep: finds no label maps.
    """

    def __init__(
        self, read: Callable[[PurePosixPath], Shaped[np.ndarray, 'rows columns *more']], *, keep: bool
    ) -> None:
        self._read, self._keep = read, keep
        self._groups: dict[Hashable, list[PurePosixPath]] = collections.defaultdict(list)
        self._groups_of: dict[PurePosixPath, tuple[Hashable, ...]] = {}
        self._images: dict[Hashable, PurePosixPath | None] = {}

    def add(self, relative: PurePosixPath, patient: str, grid: Hashable) -> None:
        """Takes a file that is read as an image, and its size and place, from its header."""
        self._groups_of[relative] = (relative.parent, grid), (patient, grid)
        for group in self._groups_of[relative]:
            self._groups[group].append(relative)

    def check(self, relative: PurePosixPath, values: Shaped[np.ndarray, 'rows columns *more']) -> None:
        """Refuses a label map.

        Raises:
          DataError: the values are those of one, and there is an image that it may belong to.
        """
        if self._keep or not is_label_map(values):
            return
        found = next(filter(None, map(self._find_image, self._groups_of[relative])), None)
        if found is not None:
            raise DataError(
                f'holds {len(np.unique(values))} values in patches, as masks do, and {found} is an image of the '
                f'same size: pair them by their names or folders, or take it away; {KEEP}'
            )

    def _find_image(self, group: Hashable) -> PurePosixPath | None:
        """A file of the group that is no label map; looked for once."""
        if group not in self._images:
            files = self._groups[group]
            places = np.unique(np.linspace(0, len(files) - 1, _LOOKED_AT).round().astype(int))
            self._images[group] = next(filter(self._holds_image, (files[place] for place in places)), None)
        return self._images[group]

    def _holds_image(self, relative: PurePosixPath) -> bool:
        try:
            values = self._read(relative)
        except (DataError, OSError):
            return False
        return values.min() < values.max() and not is_label_map(values)
