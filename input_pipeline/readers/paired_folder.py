"""Reads pictures or volumes with masks: `images/` beside `masks/` (or `labels/`), or an `index.csv`.

Without an index, a mask has the name of its image, with or without an ending such as `_mask` or `_seg`;
both folders may lie in split folders (`train/images/`, `train/masks/`). With an index, the columns `image`
and `mask` are paths inside the folder, and `label`, `patient` and `split` are used where they exist. Rows
whose split is none of train, val, valid, validation or test (`guard`, or empty) belong to no split and are
left out. Without a patient column or pattern a picture is its own patient (and a volume has its file's
name), so only the split column keeps images of one person together: `brain_tumor_mri` is such a set.

Pairs of NIfTI volumes are cut into slices as by the reader `nifti`. Masks become class ids by the rule of
`masks.class_ids`.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import nifti
from input_pipeline.readers.masks import class_ids, drop_equal_channels
from input_pipeline.readers.pairing import INDEX, Pair, match_names, read_index
from input_pipeline.readers.paths import naming, patient_finder, refusing, require_items
from input_pipeline.readers.pixels import create_record
from input_pipeline.readers.raster import EXTENSIONS, read_header, read_indices, read_picture
from input_pipeline.records import Item, ReaderOptions, Record


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the pairs below `path`, from the index or from names, and from headers only.

    Raises:
      DataError: neither an index nor the two folders, an index without its columns, no pair left, or
        (where refusals are not skipped) an image without mask, a mask without image, or a path that
        leaves the folder.
    """
    pairs = read_index(path, refusals) if (path / INDEX).is_file() else match_names(path, refusals)
    find_patient = patient_finder(options.patient_pattern)
    items = []
    for pair in pairs:
        with refusing(pair.image, refusals):
            items.append(_create_item(path, pair, options, find_patient))
    return require_items(items, path, 'pairs of image and mask', refusals)


def _create_item(root: Path, pair: Pair, options: ReaderOptions, find_patient: Callable[[str, str], str]) -> Item:
    if nifti.is_nifti(pair.image):
        patient = pair.patient or find_patient(str(pair.image), nifti.case_name(pair.image, pair.mask))
        return nifti.create_item(root, pair.image, pair.mask, options, patient, pair.split, pair.label)
    for file in (pair.image, pair.mask):
        if file.suffix.lower() not in EXTENSIONS:
            raise DataError(f'{file} is neither a picture (PNG, JPEG, TIFF, BMP, WebP, GIF) nor a NIfTI volume')
    patient = pair.patient or find_patient(str(pair.image), str(pair.image))
    header = read_header(root / pair.image, options.pixel_limit)
    with naming(pair.mask):
        read_header(root / pair.mask, options.pixel_limit)
    load = functools.partial(_load, root, pair, options, patient)
    return Item(str(pair.image), patient, pair.split, pair.label, header.dtype, header.channels, load)


def _load(root: Path, pair: Pair, options: ReaderOptions, patient: str) -> Iterator[Record]:
    with naming(pair.image):
        values = read_picture(root / pair.image, options.pixel_limit)
        with naming(pair.mask):
            mask = class_ids(drop_equal_channels(read_indices(root / pair.mask, options.pixel_limit)))
        if mask.shape[:2] != values.shape[:2]:
            sizes = ' and '.join(f'{shape[1]}x{shape[0]}' for shape in (values.shape, mask.shape))
            raise DataError(f'image and mask {pair.mask} have the sizes {sizes}; they must be equal')
        record = create_record(str(pair.image), values, options, patient, pair.label, mask, source=str(pair.image))
    yield record
