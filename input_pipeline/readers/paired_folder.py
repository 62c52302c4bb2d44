"""Reads pictures or volumes with masks: `images/` beside `masks/` (or `labels/`), or an `index.csv`.

Without an index, a mask has the name of its image, with or without an ending such as `_mask` or `_seg`;
both folders may lie in split folders (`train/images/`, `train/masks/`). With an index, the columns `image`
and `mask` are paths inside the folder, and `label`, `patient` and `split` are used where they exist. Rows
whose split is none of train, val, valid, validation or test (`guard`, or empty) belong to no split and are
left out. Without a patient column or pattern a picture is its own patient (and a volume has its file's
name), so only the split column keeps images of one person together: `brain_tumor_mri` is such a set.

An index.csv without these columns belongs to others: it is passed over where `images/` lies beside `masks/`, or
`ReaderOptions.columns` tells which of its columns are which. Files that an index does not name are counted.

Pairs of NIfTI volumes are cut into slices as by the reader `nifti`. Masks become class ids by the rule of
`masks.class_ids`, or by `ReaderOptions.mask_threshold`.
"""

import csv
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import nifti
from input_pipeline.readers.masks import check_alpha, class_ids, drop_equal_channels
from input_pipeline.readers.paths import SPLITS, inside, naming, patient_finder, refusing, require_items, walk
from input_pipeline.readers.pixels import create_record
from input_pipeline.readers.raster import EXTENSIONS, read_alpha, read_header, read_indices, read_picture
from input_pipeline.records import Item, ReaderOptions, Record

INDEX = 'index.csv'
IMAGE_FOLDER = 'images'
MASK_FOLDERS = ('masks', 'labels')
MASK_ENDINGS = ('_mask', '_seg', '_segmentation', '_label', '_labels')


@dataclasses.dataclass(frozen=True, slots=True)
class ImageMaskPair:
    """An image and its mask, both relative to the prepared path, and what is known of them."""

    image: PurePosixPath
    mask: PurePosixPath
    label: str | None
    patient: str | None
    split: str | None


def read_index(root: Path, columns: Sequence[tuple[str, str]], refusals: Refusals) -> list[ImageMaskPair]:
    """The rows of `index.csv` that belong to a split, or all where it has no column of that name.

    Args:
      root: the folder of the index.
      columns: see `ReaderOptions.columns`.
      refusals: takes bad rows, and counts files that no row names.

    Raises:
      DataError: not a table with the columns image and mask, no row left, or (where refusals are not
        skipped) a row without image, mask or patient, twice the same image, or a path that leaves `root`.
    """
    rows = _read_rows(root / INDEX, columns)
    has_split, has_patient = 'split' in rows[0], 'patient' in rows[0]
    members = [row for row in rows if not has_split or row['split'].lower() in SPLITS]
    if len(members) < len(rows):
        refusals.note(f'{INDEX}: {len(rows) - len(members)} rows belong to no split and are left out.')
    if not members:
        raise DataError(f'{INDEX}: no row belongs to a split; `split` must be train, validation or test.')
    pairs: dict[PurePosixPath, ImageMaskPair] = {}
    for row in members:
        with refusing(f'{INDEX}#{row["line"]}', refusals):
            if has_patient and not row['patient']:
                raise DataError('has no patient, though the index has that column')
            image, mask = (_locate(root, row, column) for column in ('image', 'mask'))
            if image in pairs:
                raise DataError(f'names the image {image} a second time')
            split = SPLITS[row['split'].lower()] if has_split else None
            pairs[image] = ImageMaskPair(image, mask, row.get('label') or None, row.get('patient'), split)
    _count_unnamed(root, pairs.values(), refusals)
    return list(pairs.values())


def _count_unnamed(root: Path, pairs: Iterable[ImageMaskPair], refusals: Refusals) -> None:
    """Files below the folder that the index leaves out; nobody asked for them, so none is a reason to stop."""
    named = {file for pair in pairs for file in (pair.image, pair.mask)}
    below = Refusals(skip=True)
    unnamed = sum(file not in named for file in walk(root, below)) + len(below.reasons)
    if unnamed:
        refusals.pass_over(f'files that {INDEX} does not name', unnamed)


def _read_lines(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding='utf-8-sig', newline='') as file:
            return list(csv.reader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f'{INDEX}: is not readable as comma-separated UTF-8 text ({error}).') from error


def _column_names(lines: list[list[str]], columns: Sequence[tuple[str, str]]) -> list[str]:
    """Names of the columns as this reader calls them.

    Raises:
      DataError: the index lacks a column that was asked for.
    """
    names = [name.strip().lower() for name in lines[0]] if lines else []
    for _, name in columns:
        if name.strip().lower() not in names:
            raise DataError(f'{INDEX}: has no column {name!r}, as --columns says; it has {", ".join(names)}.')
    wanted = {name.strip().lower(): role for role, name in columns}
    # A column that is not the one asked for must not take its role.
    return [wanted.get(name, f'other {name}' if name in wanted.values() else name) for name in names]


def _is_foreign(root: Path, columns: Sequence[tuple[str, str]]) -> bool:
    """Whether the index is of other people, and the folders tell the pairs without it."""
    folders = {entry.name.lower() for entry in root.iterdir() if entry.is_dir()}
    nested = [entry for entry in root.iterdir() if entry.name.lower() in SPLITS and entry.is_dir()]
    folders |= {entry.name.lower() for folder in nested for entry in folder.iterdir()}
    if columns or IMAGE_FOLDER not in folders or not folders & set(MASK_FOLDERS):
        return False
    return not {'image', 'mask'} <= set(_column_names(_read_lines(root / INDEX), ()))


def _read_rows(path: Path, mapping: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    lines = _read_lines(path)
    columns = _column_names(lines, mapping)
    if not {'image', 'mask'} <= set(columns) or len(set(columns)) < len(columns):
        raise DataError(
            f'{INDEX}: needs the columns image and mask, and each column once; it has '
            f'{", ".join(columns) or "none"} (--columns=image=NAME,mask=NAME says which of its columns are these).'
        )
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if any(cells):
            padded = [cell.strip() for cell in cells] + [''] * (len(columns) - len(cells))
            rows.append(dict(zip(columns, padded, strict=False)) | {'line': str(number)})
    if not rows:
        raise DataError(f'{INDEX}: has no rows.')
    return rows


def _locate(root: Path, row: dict[str, str], column: str) -> PurePosixPath:
    if not row[column]:
        raise DataError(f'has no {column}')
    for folder in (
        (IMAGE_FOLDER,) if column == 'image' else MASK_FOLDERS
    ):  # indexes of others often give bare names
        if '/' not in row[column] and not (root / row[column]).exists() and (root / folder / row[column]).exists():
            return PurePosixPath(inside(root, f'{folder}/{row[column]}').relative_to(root).as_posix())
    return PurePosixPath(inside(root, row[column]).relative_to(root).as_posix())


def match_names(root: Path, refusals: Refusals) -> list[ImageMaskPair]:
    """Pairs of `images/` and `masks/` (or `labels/`), directly below `root` or below its split folders.

    Raises:
      DataError: one of the folders is missing, or (where refusals are not skipped) a file has no partner.
    """
    images: dict[PurePosixPath, PurePosixPath] = {}
    masks: dict[PurePosixPath, PurePosixPath] = {}
    for relative in walk(root, refusals):
        depth = int(relative.parts[0].lower() in SPLITS)
        role = relative.parts[depth].lower() if len(relative.parts) > depth + 1 else ''
        with refusing(relative, refusals):
            if role not in (IMAGE_FOLDER, *MASK_FOLDERS):
                raise DataError(f'lies outside {IMAGE_FOLDER}/ and {" or ".join(MASK_FOLDERS)}/')
            names = images if role == IMAGE_FOLDER else masks
            name = PurePosixPath(*relative.parts[:depth], *relative.parts[depth + 1 :]).with_name(stem(relative))
            if name in names:
                raise DataError(f'has the same name as {names[name]}')
            names[name] = relative
    if not images or not masks:
        raise DataError(f'{root}: needs an {INDEX}, or {IMAGE_FOLDER}/ beside {" or ".join(MASK_FOLDERS)}/.')
    return _join(images, masks, refusals)


def _join(
    images: dict[PurePosixPath, PurePosixPath], masks: dict[PurePosixPath, PurePosixPath], refusals: Refusals
) -> list[ImageMaskPair]:
    pairs = []
    for name, image in images.items():
        candidates = (name.with_name(name.name + ending) for ending in ('', *MASK_ENDINGS))
        match = next((candidate for candidate in candidates if candidate in masks), None)
        if match is None:
            refusals.add(str(image), 'has no mask')
        else:
            split = SPLITS.get(image.parts[0].lower())
            pairs.append(ImageMaskPair(image, masks.pop(match), None, None, split))
    for mask in masks.values():
        refusals.add(str(mask), 'is a mask without an image')
    return pairs


def stem(path: PurePosixPath) -> str:
    """The name without its extension, `.nii.gz` being one extension."""
    return path.name[: -len('.nii.gz')] if path.name.lower().endswith('.nii.gz') else path.stem


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the pairs below `path`, from the index or from names, and from headers only.

    Raises:
      DataError: neither an index nor the two folders, an index without its columns, no pair left, or
        (where refusals are not skipped) an image without mask, a mask without image, or a path that
        leaves the folder.
    """
    pairs = _find_pairs(path, options, refusals)
    find_patient = patient_finder(options.patient_pattern)
    items = []
    contradictions: dict[PurePosixPath, str] = {}
    for pair in pairs:
        with refusing(pair.image, refusals):
            items.append(_create_item(path, pair, options, find_patient, contradictions))
    nifti.note_contradictions(contradictions, refusals)
    return require_items(items, path, 'pairs of image and mask', refusals)


def _find_pairs(path: Path, options: ReaderOptions, refusals: Refusals) -> list[ImageMaskPair]:
    if not (path / INDEX).is_file():
        if options.columns:
            raise DataError(f'{path}: --columns needs an {INDEX} in this folder.')
        return match_names(path, refusals)
    if _is_foreign(path, options.columns):
        refusals.note(
            f'{INDEX} has no columns image and mask and is passed over, as {IMAGE_FOLDER}/ and masks lie beside '
            'it; --columns=image=NAME,mask=NAME,... uses it.'
        )
        return match_names(path, refusals)
    return read_index(path, options.columns, refusals)


def _create_item(
    root: Path,
    pair: ImageMaskPair,
    options: ReaderOptions,
    find_patient: Callable[[str, str], str],
    contradictions: dict[PurePosixPath, str],
) -> Item:
    if nifti.is_volume(pair.image):
        patient = pair.patient or find_patient(str(pair.image), nifti.case_name(pair.image, pair.mask))
        return nifti.create_item(
            root, pair.image, pair.mask, options, patient, pair.split, pair.label, contradictions
        )
    for file in (pair.image, pair.mask):
        if file.suffix.lower() not in EXTENSIONS:
            raise DataError(f'{file} is neither a picture (PNG, JPEG, TIFF, BMP, WebP, GIF) nor a NIfTI volume')
    patient = pair.patient or find_patient(str(pair.image), str(pair.image))
    header = read_header(root / pair.image, options.pixel_limit)
    with naming(pair.mask):
        read_header(root / pair.mask, options.pixel_limit)
    load = functools.partial(_load, root, pair, options, patient)
    return Item(str(pair.image), patient, pair.split, pair.label, header.dtype, header.channels, load)


def _load(root: Path, pair: ImageMaskPair, options: ReaderOptions, patient: str) -> Iterator[Record]:
    with naming(pair.image):
        values = read_picture(root / pair.image, options.pixel_limit)
        with naming(pair.mask):
            mask = _read_mask(root / pair.mask, options)
        if mask.shape[:2] != values.shape[:2]:
            sizes = ' and '.join(f'{shape[1]}x{shape[0]}' for shape in (values.shape, mask.shape))
            raise DataError(f'image and mask {pair.mask} have the sizes {sizes}; they must be equal')
        record = create_record(str(pair.image), values, options, patient, pair.label, mask, source=str(pair.image))
    yield record


def _read_mask(path: Path, options: ReaderOptions) -> UInt8[np.ndarray, 'height width 1']:
    """Class ids of a picture; a threshold is about brightness, so palettes of greys are shown then."""
    is_shown = options.mask_threshold is not None and read_header(path, options.pixel_limit).channels == 1
    read = read_picture if is_shown else read_indices
    values = drop_equal_channels(read(path, options.pixel_limit))
    check_alpha(values, read_alpha(path, options.pixel_limit))
    return class_ids(values, options.mask_threshold)
