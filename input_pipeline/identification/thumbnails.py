"""Pictures brought to one small common size, from single files, folders and prepared data sets."""

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from input_pipeline.dataset.catalogue import nearest, require_dataset
from input_pipeline.dataset.summary import read_records
from input_pipeline.decode import Decoder, open_split, reading
from input_pipeline.errors import DataError, Refusals
from input_pipeline.parallel import ordered_map
from input_pipeline.preprocessing import Preprocessing, preprocess_image
from input_pipeline.readers import arrays, dicom_file, nifti
from input_pipeline.readers.paths import refusing, walk
from input_pipeline.readers.pixels import create_record, encode, percentile_window, sample, to_physical
from input_pipeline.readers.raster import EXTENSIONS, read_picture
from input_pipeline.records import PIXEL_LIMIT, Record, reader_options

SIDE = 64
# Percentiles of the volume, or of the image where it is alone, become black and white: 8 and 16 bits and
# Hounsfield units compare.
_PREPROCESSING = Preprocessing(
    resolution=SIDE, channels=1, window='volume', fit='pad', mask_classes=0, context=0, pixels='square'
)
_READING = reader_options(2, PIXEL_LIMIT)
_LARGEST_VOLUME = 16  # pictures taken of one file, evenly spread
_NO_PICTURES = {'masks', 'labels', 'labelsTr', 'labelsTs'}

Value = TypeVar('Value')
Load = Callable[[], Iterator[Record]]


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """One picture as measures of likeness see it.

    Attributes:
      source: where it came from.
      pixels: grey, SIDE pixels square, padded with black where it was not square.
      patient: pictures of one patient are not independent; the source where no patient is known.
      modality: DICOM's short name, or `unknown`.
      label: class name, or None.
    """

    source: str
    pixels: UInt8[np.ndarray, '64 64']
    patient: str
    modality: str
    label: str | None


def spread(values: Sequence[Value], count: int) -> list[Value]:
    """At most `count` of the values, evenly spread and in order."""
    if len(values) <= count:
        return list(values)
    return [values[(2 * place + 1) * len(values) // (2 * count)] for place in range(count)]


def shrink(record: Record) -> Picture:
    """A record as a picture.

    Raises:
      DataError: it has neither 1 nor 3 channels.
    """
    pixels = preprocess_image(record.image, record.intensity, record.window, _PREPROCESSING, record.spacing)
    return Picture(record.source, _to_bytes(pixels), record.patient, record.modality, record.label)


def _to_bytes(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels[..., 0] / np.float32(257)).astype(np.uint8)


def read_pictures(path: Path, limit: int, refusals: Refusals) -> Iterator[Picture]:
    """Pictures of a file, or of all files in a folder and below it, decoded in threads.

    Folders of masks and labels are left out. Of a volume, or a file of many frames, a few pictures are taken.

    Args:
      path: a picture, DICOM or NIfTI file, an array, or a folder of any of them.
      limit: at most so many files (of an array file: images) are read, evenly spread.
      refusals: takes files that cannot be used, or raises.

    Raises:
      DataError: there is no such path, or (where refusals are not skipped) a file cannot be used.
    """
    if path.is_dir():
        found = [path / relative for relative in walk(path, refusals) if not _NO_PICTURES & set(relative.parts)]
    elif path.is_file():
        found = [path]
    else:
        raise DataError(f'{path}: there is no such file or folder.')
    loads = []
    for file in spread(found, limit):
        with refusing(str(file), refusals):
            loads += [(file, load) for load in _loads(file)]
    with warnings.catch_warnings():  # of oddities that decoders cope with
        warnings.simplefilter('ignore')
        for (file, _), future in ordered_map(_shrink_all, spread(loads, limit)):
            pictures: list[Picture] = []
            with refusing(str(file), refusals):
                pictures = future.result()
            yield from pictures


def _shrink_all(named: tuple[Path, Load]) -> list[Picture]:
    """Pictures of one file; of a volume all are made small before some are chosen, which bounds memory."""
    file, load = named
    try:
        return spread([shrink(record) for record in load()], _LARGEST_VOLUME)
    except DataError as error:
        raise DataError(str(error).removeprefix(f'{file.name}: ')) from error


def _loads(file: Path) -> list[Load]:
    """What reads the records of a file: one call for each image of an array, one in all for other files.

    Raises:
      DataError: the file holds no pictures.
    """
    name = PurePosixPath(file.name)
    if name.suffix.lower() in EXTENSIONS:
        return [functools.partial(_picture_record, file)]
    if nifti.is_nifti(name):
        return [lambda: nifti.create_item(file.parent, name, None, _READING, str(file), None, None, {}).load()]
    if name.suffix.lower() in ('.npy', '.npz'):
        return [item.load for item in arrays.scan(file, _READING, Refusals(skip=False))]
    if dicom_file.is_dicom(file):
        return [functools.partial(_dicom_records, file)]
    raise DataError('is no picture that can be read (PNG, JPEG, TIFF, BMP, WebP, GIF, DICOM, NIfTI, .npy or .npz)')


def _picture_record(file: Path) -> Iterator[Record]:
    values = read_picture(file, _READING.pixel_limit)
    yield create_record(file.name, values, _READING, str(file), None, None, str(file))


def _dicom_records(file: Path) -> Iterator[Record]:
    """The frames of one file; alone, each is shown in its own percentiles. Constant ones are left out."""
    header = dicom_file.read_header(file, _READING.pixel_limit)
    bright_low = header.PhotometricInterpretation == 'MONOCHROME1'
    for frame, values in enumerate(dicom_file.read_frames(file, header)):
        if values.min() == values.max():
            continue
        image, intensity = encode(values, *dicom_file.rescale(header, frame), bright_low)
        window = percentile_window([to_physical(sample(image), intensity)], _READING.percentiles, bright_low)
        yield Record(
            key=file.name,
            image=image,
            patient=str(header.get('PatientID') or file),
            modality=str(header.get('Modality') or 'unknown'),
            label=None,
            mask=None,
            intensity=intensity,
            window=window,
            spacing=dicom_file.millimetres(header),
            source=str(file),
        )


def read_prepared(name: str, data_dir: Path, split: str, classes: Sequence[str], limit: int) -> Iterator[Picture]:
    """Pictures of one split of a data set that `prepare` wrote, decoded in threads.

    Args:
      name: of the data set.
      data_dir: folder of all data sets.
      split: 'train', 'validation' or 'test'.
      classes: those wanted, empty for all.
      limit: at most so many of each class, evenly spread in stored order.

    Raises:
      DataError: the set is missing, damaged, not written by `prepare`, or lacks the split or a class.
    """
    folder = require_dataset(name, data_dir)
    opened = open_split(folder, split)
    if not opened.summary:
        raise DataError(f'{name} was not written by input_pipeline.prepare, so its classes are not listed.')
    with reading(folder):
        table = read_records(folder, split)
    for label in classes:
        if label not in table.labels:
            known = sorted(set(table.labels))
            raise DataError(f'{name} has no class {label!r} in split {split!r}.{nearest(label, known)}')
    alone = np.arange(len(opened.records))[:, None]
    decoder = Decoder(opened, _PREPROCESSING, dict.fromkeys(range(-1, len(opened.classes)), 0), alone)
    chosen: list[int] = []
    for label in classes or sorted(set(table.labels)):
        chosen += spread([index for index, own in enumerate(table.labels) if own == label], limit)
    for index, future in ordered_map(lambda index: decoder(index, SIDE)['image'], chosen):
        pixels = _to_bytes(future.result())
        yield Picture(
            f'{name}/{split}/{index}',
            pixels,
            table.patients[index],
            table.modalities[index],
            table.labels[index] or None,
        )


def in_chunks(pictures: Iterator[Picture], size: int) -> Iterator[list[Picture]]:
    """The pictures in lists of `size`, the last one shorter."""
    while chunk := list(itertools.islice(pictures, size)):
        yield chunk
