"""Which arrays belong together: images with their masks and classes, by name."""

import collections
import dataclasses
import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Shaped

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers.array_file import StoredArray, member_names
from input_pipeline.readers.paths import SPLITS, leading_split, naming
from input_pipeline.readers.pixels import check_size, storage_dtype

_LOGGER = logging.getLogger(__name__)

_NAME = re.compile(r'(?:(?P<prefix>\w+)_)?(?P<role>images|masks|labels|types)')
_MOST_CHANNELS = 16  # more along the last axis means volumes
_PANNUKE_CHANNELS = 6  # neoplastic, inflammatory, connective, dead, epithelial, background


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One array.

    Attributes:
      place: the .npz file, or the folder of the .npy file.
      prefix: `train` of `train_images`, or ''.
      role: `images`, `masks`, `labels`, `types`, or '' where the name tells nothing.
      source: where it lies, for messages and keys.
      array: its shape, type and values.
    """

    place: PurePosixPath
    prefix: str
    role: str
    source: str
    array: StoredArray


@dataclasses.dataclass(frozen=True, slots=True)
class ImageSet:
    """An array of images with what belongs to it, and the split its name or folder tells."""

    images: Member
    masks: Member | None
    labels: Member | None
    split: str | None

    @property
    def is_pannuke(self) -> bool:
        """Whether the last channel of the masks, not the first, is the background."""
        has_types = self.labels is not None and self.labels.role == 'types'
        return has_types and self.masks is not None and self.masks.array.shape[3:] == (_PANNUKE_CHANNELS,)


def open_members(root: Path, relative: PurePosixPath) -> list[Member]:
    """The arrays of one file, from their headers.

    Raises:
      DataError: the file is neither .npy nor .npz, or damaged.
    """
    if relative.suffix.lower() == '.npy':
        array = StoredArray(root / relative, None)
        return [Member(relative.parent, *_split_name(relative.stem), str(relative), array)]
    if relative.suffix.lower() != '.npz':
        raise DataError('is neither .npy nor .npz')
    return [
        Member(relative, *_split_name(name), f'{relative}/{name}', StoredArray(root / relative, f'{name}.npy'))
        for name in sorted(member_names(root / relative))
    ]


def _split_name(name: str) -> tuple[str, str]:
    match = _NAME.fullmatch(name)
    return (match['prefix'] or '', match['role']) if match else ('', '')


def group(members: Sequence[Member], refusals: Refusals) -> list[ImageSet]:
    """Images with the masks and classes of the same place and prefix; what is left over is refused."""
    named = {(member.place, member.prefix, member.role): member for member in members if member.role}
    neighbours = collections.Counter(member.place for member in members)
    sets = []
    for member in members:
        # A member of a .npz file needs a telling name unless it is alone; a .npy file does not.
        if not member.role and member.place.suffix.lower() == '.npz' and neighbours[member.place] > 1:
            refusals.add(member.source, 'is neither images, masks, labels nor types by its name')
        elif member.role in ('images', ''):
            sets.append(_complete(member, named))
    for member in named.values():
        if member.role != 'images':
            refusals.add(member.source, 'belongs to no array of images')
    return sets


def _complete(images: Member, named: dict[tuple[PurePosixPath, str, str], Member]) -> ImageSet:
    """Takes the companions of one array of images out of `named`."""

    def take(place: PurePosixPath, role: str) -> Member | None:
        return named.pop((place, images.prefix, role), None) if images.role else None

    # PanNuke keeps masks in a tree of their own: masks/fold1/masks.npy for images/fold1/images.npy.
    other_tree = PurePosixPath(*('masks' if part == 'images' else part for part in images.place.parts))
    masks = take(images.place, 'masks') or take(other_tree, 'masks')
    labels = take(images.place, 'labels') or take(images.place, 'types')
    split = SPLITS.get(images.prefix.lower()) or leading_split(PurePosixPath(images.source))
    return ImageSet(images, masks, labels, split)


def check_shapes(image_set: ImageSet, pixel_limit: int) -> None:
    """Refuses arrays that are not images, or do not fit each other.

    Raises:
      DataError: naming the shapes.
    """
    shape, dtype = image_set.images.array.shape, image_set.images.array.dtype
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] > _MOST_CHANNELS):
        raise DataError(
            f'has the shape {shape}; images are (count, height, width) or (count, height, width, channels) '
            f'with at most {_MOST_CHANNELS} channels'
        )
    storage_dtype(dtype)
    check_size(shape[1] * shape[2], pixel_limit)
    for other, wanted in ((image_set.masks, shape[:3]), (image_set.labels, shape[:1])):
        if other is not None and other.array.shape[: len(wanted)] != wanted:
            raise DataError(f'has the shape {shape}, but {other.source} has {other.array.shape}')
    if image_set.masks is not None and len(image_set.masks.array.shape) not in (3, 4):
        raise DataError(f'{image_set.masks.source} has the shape {image_set.masks.array.shape}, not that of masks')


def class_names(sets: Sequence[ImageSet]) -> list[list[str] | None]:
    """For each set the class of every image, or None without usable classes.

    Integers are padded with zeros to the longest of all sets, so that they sort as numbers do and a class
    has one name in every split.

    Raises:
      DataError: classes that are neither integers nor text.
    """
    labels = [_classes(image_set) for image_set in sets]
    integers = [values for values in labels if values is not None and values.dtype.kind in 'ui']
    width = max((len(str(values.max())) for values in integers), default=0)
    return [
        None
        if values is None
        else [f'{value:0{width}d}' if isinstance(value, int) else value for value in values.tolist()]
        for values in labels
    ]


def _classes(image_set: ImageSet) -> Shaped[np.ndarray, ' count'] | None:
    """One class an image; none where several may hold at once (multi-label sets such as ChestMNIST)."""
    if image_set.labels is None:
        return None
    array, source = image_set.labels.array, image_set.labels.source
    if math.prod(array.shape[1:]) != 1:
        _LOGGER.info('%s: several labels an image are not classes, and are left out.', source)
        return None
    with naming(source):
        values = np.array(array.values).reshape(-1)
    if values.dtype.kind not in 'uiU':
        raise DataError(f'{source}: holds {values.dtype}; classes are integers or text.')
    return values
