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
import functools
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

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
from input_pipeline.readers.tiff import PagesError
from input_pipeline.readers.tiff_stack import read_stack, read_stack_header
from input_pipeline.records import Item, ReaderOptions, Record

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
            patient = find_patient(str(relative), str(relative))
            try:
                items.append(_create_item(path, relative, options, patient, split, label, neighbours))
            except PagesError:
                items.append(_create_stack(path, relative, options, patient, split, label))
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


def _create_item(
    root: Path,
    relative: PurePosixPath,
    options: ReaderOptions,
    patient: str,
    split: str | None,
    label: str | None,
    neighbours: ImagesBeside,
) -> Item:
    header = read_header(root / relative, options.pixel_limit)
    neighbours.add(relative, patient, header.size)
    load = functools.partial(_load, root, relative, options, patient, label, neighbours)
    return Item(str(relative), patient, split, label, header.dtype, header.channels, load)


def _create_stack(
    root: Path,
    relative: PurePosixPath,
    options: ReaderOptions,
    patient: str,
    split: str | None,
    label: str | None,
) -> Item:
    """A TIFF of several pages, each of them a record."""
    stack = read_stack_header(root / relative, options.pixel_limit)

    def load() -> Iterator[Record]:
        with naming(relative):
            pages = read_stack(root / relative)
            check_usable(pages)
            window = percentile_window([sample(pages)], options.percentiles)
            for number, page in enumerate(pages):
                if page.min() < page.max():  # not empty space at the ends of the volume
                    key = f'{relative}/{number:04d}'
                    record = create_record(key, page, options, patient, label, None, str(relative))
                    yield dataclasses.replace(record, window=window, spacing=stack.spacing)

    dtype = storage_dtype(stack.dtype)
    return Item(str(relative), patient, split, label, dtype, stack.channels, load)


def _load(
    root: Path,
    relative: PurePosixPath,
    options: ReaderOptions,
    patient: str,
    label: str | None,
    neighbours: ImagesBeside,
) -> Iterator[Record]:
    with naming(relative):
        values = read_picture(root / relative, options.pixel_limit)
        neighbours.check(relative, values)
        record = create_record(str(relative), values, options, patient, label, None, str(relative))
    yield record
