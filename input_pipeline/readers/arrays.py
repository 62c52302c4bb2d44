"""Reads arrays of images: .npz as MedMNIST ships them, .npy as PanNuke ships them, or a plain .npy.

In a .npz file, or among the .npy files of one folder, `images` are the pictures, (count, height, width) or
(count, height, width, channels), `labels` or `types` their classes, and `masks` their masks; a prefix
(`train_images`, `val_labels`) or a leading folder names the split. An array alone in its file is taken for
images whatever its name. PanNuke's `masks/fold1/masks.npy` belong to `images/fold1/images.npy`.

`class_names` beside integer classes are their names. Other arrays beside images are told of, and not used.

Channels lie last, or first as PyTorch has them: the sizes tell which, as there are few channels and pixels are
many (or images are square); where they do not, the array is refused. Booleans are black and white.

Masks are class ids (count, height, width), or one channel for each class (count, height, width, classes):
the id is the first channel that is not 0, so instance numbers count as presence. The first channel is the
background, as one-hot masks have it, so that every pixel is in one; PanNuke's (six channels, beside `types`)
have it last, and ids start at 1 with the first.

Each image is its own patient, unless `patient_pattern` finds one in its key (`fold1/images.npy/0012`).
"""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Shaped, UInt8

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers.label_maps import KEEP, is_label_map
from input_pipeline.readers.masks import class_ids
from input_pipeline.readers.paths import (
    SPLITS,
    leading_split,
    naming,
    patient_finder,
    refusing,
    require_items,
    walk,
)
from input_pipeline.readers.pixels import check_size, create_record, storage_dtype
from input_pipeline.readers.stored_array import StoredArray, member_names
from input_pipeline.records import Item, ReaderOptions, Record

_NAME = re.compile(r'(?:(?P<prefix>\w+)_)?(?P<role>images|masks|labels|types)')
_CLASS_NAMES = ('class_names', 'label_names', 'classes')
_COLOURS = 4
_LOOKED_AT = 20  # images of an array, to tell whether they are masks
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
    names: Member | None

    @property
    def is_channels_first(self) -> bool:
        """Whether channels lie before the pixels.

        Raises:
          DataError: the sizes do not tell, or no axis is short enough to hold channels.
        """
        return _is_channels_first(self.images.array.shape)

    @property
    def pixels(self) -> tuple[int, ...]:
        """Height and width."""
        shape = self.images.array.shape
        return shape[2:] if self.is_channels_first else shape[1:3]

    @property
    def is_pannuke(self) -> bool:
        """Whether the last channel of the masks, not the first, is the background."""
        has_types = self.labels is not None and self.labels.role == 'types'
        return has_types and self.masks is not None and self.masks.array.shape[3:] == (_PANNUKE_CHANNELS,)


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    if len(shape) == 3:
        return False
    if len(shape) == 4:
        for most in (_COLOURS, _MOST_CHANNELS):
            first, last = shape[1] <= most, shape[3] <= most
            if first != last:
                return first
            if first and (shape[1] == shape[2]) != (shape[2] == shape[3]):  # pixels of square images
                return shape[2] == shape[3]
            if first:
                raise DataError(
                    f'has the shape {shape}, of which channels may be the second or the last axis; save images as '
                    '(count, height, width, channels) of more pixels than channels'
                )
    raise DataError(
        f'has the shape {shape}; images are (count, height, width), (count, height, width, channels) or '
        f'(count, channels, height, width) with at most {_MOST_CHANNELS} channels'
    )


def open_members(root: Path, relative: PurePosixPath, refusals: Refusals) -> list[Member]:
    """The arrays of one file, from their headers.

    Raises:
      DataError: the file is neither .npy nor .npz, or damaged.
    """
    if relative.suffix.lower() == '.npy':
        array = StoredArray(root / relative, None)
        return [Member(relative.parent, *_split_name(relative.stem), str(relative), array)]
    if relative.suffix.lower() != '.npz':
        raise DataError('is neither .npy nor .npz')
    members, names = [], sorted(member_names(root / relative))
    for name in names:
        prefix, role = _split_name(name)
        try:
            array = StoredArray(root / relative, f'{name}.npy')
        except DataError as error:
            if role or len(names) == 1:
                raise
            refusals.note(f'{relative}/{name}: {error}; it is not used.')
            continue
        members.append(Member(relative, prefix, role, f'{relative}/{name}', array))
    return members


def _split_name(name: str) -> tuple[str, str]:
    match = _NAME.fullmatch(name)
    return (match['prefix'] or '', match['role']) if match else ('', '')


def group(members: Sequence[Member], refusals: Refusals) -> list[ImageSet]:
    """Images with the masks and classes of the same place and prefix; what is left over is refused."""
    named = {(member.place, member.prefix, member.role): member for member in members if member.role}
    has_images = {member.place for member in named.values() if member.role == 'images'}
    names = {member.place: member for member in members if _last(member.source) in _CLASS_NAMES}
    neighbours = collections.Counter(member.place for member in members)
    sets = []
    for member in members:
        # A member of a .npz file needs a telling name unless it is alone; a .npy file does not.
        in_archive = member.place.suffix.lower() == '.npz' and neighbours[member.place] > 1
        is_names = names.get(member.place) is member
        if member.role == 'images' or not (member.role or in_archive or is_names):
            sets.append(_complete(member, named, names.get(member.place)))
        elif not member.role and member.place in has_images:
            if not is_names:
                refusals.note(
                    f'{member.source}: is neither images, masks, labels nor types by its name, and not used.'
                )
        elif not member.role:
            refusals.add(
                member.source,
                'is neither images, masks, labels nor types by its name; save images as `images` (or '
                '`train_images`, `test_images`), and their classes as `labels`',
            )
    for member in named.values():
        if member.role != 'images':
            refusals.add(member.source, 'belongs to no array of images')
    return sets


def _last(source: str) -> str:
    """The name of an array, from its source."""
    return PurePosixPath(source).name.removesuffix('.npy').lower()


def _complete(
    images: Member, named: dict[tuple[PurePosixPath, str, str], Member], names: Member | None
) -> ImageSet:
    """Takes the companions of one array of images out of `named`."""

    def take(place: PurePosixPath, role: str) -> Member | None:
        return named.pop((place, images.prefix, role), None) if images.role else None

    # PanNuke keeps masks in a tree of their own: masks/fold1/masks.npy for images/fold1/images.npy.
    other_tree = PurePosixPath(*('masks' if part == 'images' else part for part in images.place.parts))
    masks = take(images.place, 'masks') or take(other_tree, 'masks')
    labels = take(images.place, 'labels') or take(images.place, 'types')
    split = SPLITS.get(images.prefix.lower()) or leading_split(PurePosixPath(images.source))
    return ImageSet(images, masks, labels, split, names)


def check_shapes(image_set: ImageSet, pixel_limit: int) -> None:
    """Refuses arrays that are not images, or do not fit each other.

    Raises:
      DataError: naming the shapes.
    """
    shape, dtype = image_set.images.array.shape, image_set.images.array.dtype
    pixels = image_set.pixels
    storage_dtype(dtype)
    check_size(math.prod(pixels), pixel_limit)
    labels, masks = image_set.labels, image_set.masks
    if labels is not None and labels.array.shape[:1] != shape[:1]:
        raise DataError(f'has the shape {shape}, but {labels.source} has {labels.array.shape}')
    if masks is not None:
        found = masks.array.shape
        if len(found) not in (3, 4):
            raise DataError(f'{masks.source} has the shape {found}, not that of masks')
        if found[0] != shape[0] or pixels not in (found[1:3], found[2:]):
            raise DataError(f'has the shape {shape}, but {masks.source} has {found}')


def class_names(sets: Sequence[ImageSet], refusals: Refusals) -> list[list[str] | None]:
    """For each set the class of every image, or None without usable classes.

    Integers have the names that lie beside them; without these they are padded with zeros to the longest of all
    sets, so that they sort as numbers do and a class has one name in every split.

    Raises:
      DataError: classes that are neither whole numbers nor text.
    """
    labels = [_classes(image_set, refusals) for image_set in sets]
    integers = [values for values in labels if values is not None and values.dtype.kind in 'ui']
    width = max((len(str(values.max())) for values in integers), default=0)
    return [
        None if values is None else _named(values, image_set.names, width, refusals)
        for image_set, values in zip(sets, labels, strict=True)
    ]


def _named(
    values: Shaped[np.ndarray, ' count'], names: Member | None, width: int, refusals: Refusals
) -> list[str]:
    if names is not None and values.dtype.kind != 'U':
        with naming(names.source):
            texts = np.array(names.array.values).reshape(-1)
        texts = np.char.decode(texts, 'utf-8') if texts.dtype.kind == 'S' else texts
        if texts.dtype.kind == 'U' and values.min() >= 0 and values.max() < len(texts) == len(set(texts.tolist())):
            return [str(texts[value]) for value in values]
    if names is not None:
        refusals.note(f'{names.source}: is not used, as it does not give every class of a number its own name.')
    if values.dtype.kind == 'U':
        return values.tolist()
    return [f'{value:0{width}d}' for value in values.tolist()]


def _classes(image_set: ImageSet, refusals: Refusals) -> Shaped[np.ndarray, ' count'] | None:
    """One class an image; none where several may hold at once (multi-label sets such as ChestMNIST)."""
    if image_set.labels is None:
        if image_set.names is not None:
            refusals.note(f'{image_set.names.source}: is not used, as there are no labels.')
        return None
    source = image_set.labels.source
    with naming(source):
        values = np.array(image_set.labels.array.values)
    values = values.reshape(len(values), -1)
    if values.shape[1] > 1:
        if (
            values.dtype.kind in 'buif'
            and ((values != 0).sum(axis=1) == 1).all()
            and (values.max(axis=1) == 1).all()
        ):
            refusals.note(f'{source}: is one-hot; the class is the place of its 1, counted from 0.')
            return values.argmax(axis=1)
        refusals.note(f'{source}: holds several labels an image, which are no classes, and is not used.')
        return None
    values = values[:, 0]
    if values.dtype.kind == 'S':
        return np.char.decode(values, 'utf-8')
    if values.dtype.kind == 'b':
        return values.astype(np.uint8)
    if values.dtype.kind == 'f' and np.isfinite(values).all() and (values == values.round()).all():
        return values.astype(np.int64)
    if values.dtype.kind not in 'uiU':
        raise DataError(
            f'{source}: holds {values.dtype} that are no whole numbers; classes are whole numbers or text '
            '(leave the array out where it holds measurements).'
        )
    return values


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the arrays below `path` (or in it, where it is a file), from their headers and classes only.

    Raises:
      DataError: no arrays of images, or (where refusals are not skipped) arrays of objects, of the wrong shape,
        truncated, or masks and labels without images or of another count.
    """
    root = path.parent if path.is_file() else path
    found = [PurePosixPath(path.name)] if path.is_file() else walk(path, refusals)
    members = []
    for relative in found:
        with refusing(relative, refusals):
            members += open_members(root, relative, refusals)
    sets = []
    for image_set in group(members, refusals):
        with refusing(image_set.images.source, refusals):
            check_shapes(image_set, options.pixel_limit)
            sets.append(image_set)
            if image_set.is_channels_first:
                refusals.note(
                    f'{image_set.images.source}: channels lie before the pixels: '
                    f'{image_set.images.array.shape[1]} channels of {" x ".join(map(str, image_set.pixels))}.'
                )
    sets = [one for one in sets if options.keep_label_maps or not _refuse_label_map(one, sets, refusals)]
    find_patient = patient_finder(options.patient_pattern)
    items: list[Item] = []
    for image_set, classes in zip(sets, class_names(sets, refusals), strict=True):
        with refusing(image_set.images.source, refusals):
            items += _create_items(image_set, classes, options, find_patient)
    return require_items(items, path, 'arrays of images (.npz, .npy)', refusals)


def _refuse_label_map(image_set: ImageSet, sets: Sequence[ImageSet], refusals: Refusals) -> bool:
    """Whether an array looks like the masks of another one of its folder; it is refused then."""
    own = image_set.images
    for other in sets if image_set.masks is None else ():
        fits = other.images.place == own.place and other.pixels == image_set.pixels and other is not image_set
        if not fits or other.images.array.shape[0] != own.array.shape[0]:
            continue
        if _holds_label_maps(image_set) and not _holds_label_maps(other):
            refusals.add(
                own.source,
                f'holds few values in patches, as masks do, and {other.images.source} as many images of the same '
                f'size: name them `masks` and `images`, or take it away; {KEEP}',
            )
            return True
    return False


def _holds_label_maps(image_set: ImageSet) -> bool:
    try:
        values = image_set.images.array.values
    except DataError:  # what is damaged is refused when it is loaded
        return False
    places = np.unique(np.linspace(0, len(values) - 1, _LOOKED_AT).round().astype(int))
    varied = [image for image in map(np.array, values[places]) if image.min() < image.max()]
    return bool(varied) and all(map(is_label_map, varied))


def _create_items(
    image_set: ImageSet,
    classes: list[str] | None,
    options: ReaderOptions,
    find_patient: Callable[[str, str], str],
) -> Iterator[Item]:
    array = image_set.images.array
    dtype, channels = storage_dtype(array.dtype), 1
    if len(array.shape) == 4:
        channels = array.shape[1] if image_set.is_channels_first else array.shape[3]
    count = array.shape[0]
    for index in range(count):
        key = f'{image_set.images.source}/{index:0{len(str(count - 1))}d}'
        patient, label = find_patient(key, key), classes[index] if classes else None
        load = functools.partial(_load, image_set, index, key, options, patient, label)
        yield Item(key, patient, image_set.split, label, dtype, channels, load)


def _load(
    image_set: ImageSet, index: int, key: str, options: ReaderOptions, patient: str, label: str | None
) -> Iterator[Record]:
    with naming(key):
        values = np.array(image_set.images.array.values[index])
        values = np.moveaxis(values, 0, -1) if image_set.is_channels_first else values
        values = values * np.uint8(255) if values.dtype.kind == 'b' else values
        mask = None
        if image_set.masks is not None:
            with naming(image_set.masks.source):
                mask = _mask_ids(_load_mask(image_set, index), image_set.is_pannuke, options.mask_threshold)
        values = values if values.ndim == 3 else values[..., np.newaxis]
        record = create_record(key, values, options, patient, label, mask, image_set.images.source)
    yield record


def _load_mask(image_set: ImageSet, index: int) -> Shaped[np.ndarray, 'height width *classes']:
    assert image_set.masks is not None
    values = np.array(image_set.masks.array.values[index])
    lies_last = values.ndim == 2 or values.shape[:2] == image_set.pixels
    return values if lies_last else np.moveaxis(values, 0, -1)


def _mask_ids(
    values: Shaped[np.ndarray, 'height width *classes'], background_is_last: bool, threshold: float | None
) -> UInt8[np.ndarray, 'height width 1']:
    if values.ndim == 2 or values.shape[2] == 1:
        return class_ids(values.reshape(*values.shape[:2], 1), threshold)
    foreground = values[..., :-1] if background_is_last else values[..., 1:]
    present = foreground != 0 if threshold is None else foreground > threshold
    outside = np.count_nonzero(~(values != 0).any(axis=-1))
    if outside and not background_is_last:
        raise DataError(
            f'the mask has {values.shape[2]} channels and {outside} pixels in none of them, so the first is not '
            'the background; put a channel of the background before the others'
        )
    ids = np.where(present.any(axis=-1), present.argmax(axis=-1) + 1, 0)
    return ids.astype(np.uint8)[..., np.newaxis]
