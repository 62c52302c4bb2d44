"""Reads a folder of pictures: a folder per class, or flat, with or without split folders above.

    path/[train|val|valid|validation|test/][<class>/][any folders/]picture.png

Masks among the pictures are refused: those named after another picture (`x_mask.png` beside `x.png`), and folders
like `masks/` beside `images/`; the reader `paired_folder` takes them. What only looks like a mask of a picture
beside it is refused, too (see `label_maps`).

The first folder (below a split folder) is the class. A single folder that wraps split folders, as archives
often hold, is looked through. The pages of a TIFF are the slices of one volume. Records keep 8- and 16-bit values
as they are; 32-bit pictures become float32.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Num

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers.label_maps import ImagesBeside
from input_pipeline.readers.paths import (
    SPLITS,
    leading_split,
    naming,
    other_reader,
    patient_finder,
    refusing,
    remedy,
    require_items,
    walk,
)
from input_pipeline.readers.pixels import (
    check_usable,
    create_record,
    percentile_window,
    sample,
    storage_dtype,
)
from input_pipeline.readers.raster import EXTENSIONS, read_header, read_picture
from input_pipeline.readers.tiff import PagesError, read_stack, read_stack_header
from input_pipeline.records import Dtype, Item, ReaderOptions, Record

_MASK = re.compile(r'(.+?)[-_. ](?:mask|seg|segmentation|label|labels|gt|groundtruth|annotation)[-_. ]?\d*', re.I)
_MASK_FOLDERS = ('masks', 'mask', 'labels', 'segmentations', 'annotations', 'groundtruth', 'gt')
_IMAGE_FOLDERS = ('images', 'image', 'imgs', 'img')
_PAIRED = '--source=paired_folder reads images/ with masks/, or an index.csv that names both'


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the pictures below `path`, from names and headers only.

    The patient is what `options.patient_pattern` finds in the relative path; without a pattern each
    picture is its own patient.

    Raises:
      DataError: no folder, no picture, or (where refusals are not skipped) a file that is not a usable
        picture, that does not match the pattern, or that lies outside the classes or splits of its
        neighbours.
    """
    found = list(walk(path, refusals))
    depth = _wrapper_depth(found)
    is_split = any(leading_split(_below(relative, depth)) for relative in found)
    is_labelled = any(_label(_below(relative, depth)) for relative in found)
    find_patient = patient_finder(options.patient_pattern)
    masks = _MaskNames(found)
    neighbours = ImagesBeside(
        lambda relative: read_picture(path / relative, options.pixel_limit), keep=options.keep_label_maps
    )
    items, stacks = [], 0
    for relative in found:
        with refusing(relative, refusals):
            place = _below(relative, depth)
            split, label = leading_split(place), _label(place)
            if relative.suffix.lower() not in EXTENSIONS:
                advice = other_reader(relative) or remedy(relative)
                raise DataError(f'is not a picture (PNG, JPEG, TIFF, BMP, WebP, GIF){advice}')
            masks.refuse(relative)
            if is_split and split is None:
                raise DataError('lies beside the split folders (train, test, ...), so its split is unknown')
            if is_labelled and label is None:
                raise DataError('lies beside the class folders, so its class is unknown')
            picture = _Picture(path / relative, relative, find_patient(str(relative), str(relative)), split, label)
            try:
                items.append(_create_item(picture, options, neighbours))
            except PagesError:
                items.append(_create_stack(picture, options))
                stacks += 1
    if stacks:
        refusals.note(
            f'{stacks} TIFF files hold several pages, which are the slices of one volume and one patient.'
        )
    return require_items(items, path, 'pictures (PNG, JPEG, TIFF, BMP, WebP, GIF)', refusals)


class _MaskNames:
    """Tells masks among pictures by their names."""

    def __init__(self, found: list[PurePosixPath]) -> None:
        self._pictures = {_without_suffix(relative) for relative in found}
        holding = {relative.parent for relative in found}
        folders = {parent for folder in holding for parent in (folder, *folder.parents)}
        images = {folder.parent for folder in folders if folder.name.lower() in _IMAGE_FOLDERS}
        self._masks = {
            folder: parent.name
            for folder in holding
            for parent in (folder, *folder.parents)
            if parent.name.lower() in _MASK_FOLDERS and parent.parent in images
        }

    def refuse(self, relative: PurePosixPath) -> None:
        """Refuses a mask.

        Raises:
          DataError: the picture is named after another one, or lies in a folder of masks beside one of images.
        """
        found = _MASK.fullmatch(_without_suffix(relative))
        if found is not None and found.group(1) in self._pictures:
            raise DataError(f'is a mask of {found.group(1)} by its name; {_PAIRED}')
        if relative.parent in self._masks:
            raise DataError(f'lies in {self._masks[relative.parent]}/ beside images, so it is a mask; {_PAIRED}')


def _without_suffix(relative: PurePosixPath) -> str:
    return str(relative).removesuffix(relative.suffix)


def _wrapper_depth(found: list[PurePosixPath]) -> int:
    """How many folders to look through: 1 where a single folder holds everything, in split folders."""
    wrapped = len({relative.parts[0] for relative in found}) == 1 and all(len(f.parts) > 2 for f in found)
    return int(wrapped and all(relative.parts[1].lower() in SPLITS for relative in found))


def _below(relative: PurePosixPath, depth: int) -> PurePosixPath:
    return PurePosixPath(*relative.parts[depth:])


def _label(place: PurePosixPath) -> str | None:
    folders = place.parts[1:-1] if leading_split(place) else place.parts[:-1]
    return folders[0] if folders else None


@dataclasses.dataclass(frozen=True, slots=True)
class _Picture:
    """A file, and what its place among the others tells."""

    path: Path
    relative: PurePosixPath
    patient: str
    split: str | None
    label: str | None

    def create_item(self, dtype: Dtype, channels: int, load: Callable[[], Iterator[Record]]) -> Item:
        """The item that reads it."""
        return Item(str(self.relative), self.patient, self.split, self.label, dtype, channels, load)

    def create_record(
        self, key: str, values: Num[np.ndarray, 'height width channel'], options: ReaderOptions
    ) -> Record:
        """A record of its pixels."""
        return create_record(key, values, options, self.patient, self.label, None, str(self.relative))


def _create_item(picture: _Picture, options: ReaderOptions, neighbours: ImagesBeside) -> Item:
    header = read_header(picture.path, options.pixel_limit)
    neighbours.add(picture.relative, picture.patient, header.size)

    def load() -> Iterator[Record]:
        with naming(picture.relative):
            values = read_picture(picture.path, options.pixel_limit)
            neighbours.check(picture.relative, values)
            record = picture.create_record(str(picture.relative), values, options)
        yield record

    return picture.create_item(header.dtype, header.channels, load)


def _create_stack(picture: _Picture, options: ReaderOptions) -> Item:
    """A TIFF of several pages, each of them a record."""
    stack = read_stack_header(picture.path, options.pixel_limit)

    def load() -> Iterator[Record]:
        with naming(picture.relative):
            pages = read_stack(picture.path)
            check_usable(pages)
            window = percentile_window([sample(pages)], options.percentiles)
            for number, page in enumerate(pages):
                if page.min() < page.max():  # not empty space at the ends of the volume
                    record = picture.create_record(f'{picture.relative}/{number:04d}', page, options)
                    yield dataclasses.replace(record, window=window, spacing=stack.spacing)

    return picture.create_item(storage_dtype(stack.dtype), stack.channels, load)
