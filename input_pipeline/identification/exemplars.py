"""Exemplars of kinds of pictures: the file that keeps them, read without unpickling anything."""

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, Shaped, UInt8

from input_pipeline.errors import DataError
from input_pipeline.identification.measures import MEASURES
from input_pipeline.identification.thumbnails import SIDE
from input_pipeline.readers.stored_array import StoredArray

VERSION = 1
_MEMBERS = ('version', 'kinds', 'modalities', 'pictures', 'owners', 'measures', 'thresholds')
_LARGEST_FILE = 2**28
_REMEDY = 'build it again with: python -m input_pipeline.identify --build=FILE'


@dataclasses.dataclass(frozen=True)
class Exemplars:
    """A few dozen pictures of each kind, and how alike a picture must be to be of a kind.

    Attributes:
      kinds: names.
      modalities: DICOM's short name of each kind's modality, '' where it is not known.
      pictures: of all kinds.
      owners: the kind that each picture is of, as its place in `kinds`.
      thresholds: by measure, for each kind: a picture whose best exemplar is of this kind, but less alike than
        this, is none of the kinds.
    """

    kinds: tuple[str, ...]
    modalities: tuple[str, ...]
    pictures: UInt8[np.ndarray, 'exemplars 64 64']
    owners: Int64[np.ndarray, ' exemplars']
    thresholds: Mapping[str, Float64[np.ndarray, ' kinds']]


def save_exemplars(exemplars: Exemplars, path: Path) -> None:
    """Writes the file.

    Raises:
      DataError: it cannot be written.
    """
    try:
        with path.open('wb') as file:
            np.savez(
                file,
                allow_pickle=False,
                version=np.array([VERSION], np.int64),
                kinds=np.array(exemplars.kinds),
                modalities=np.array(exemplars.modalities),
                pictures=exemplars.pictures,
                owners=exemplars.owners,
                measures=np.array(list(exemplars.thresholds)),
                thresholds=np.stack(list(exemplars.thresholds.values())),
            )
    except OSError as error:
        raise DataError(f'{path}: cannot be written ({error.strerror or error}).') from error


def load_exemplars(path: Path) -> Exemplars:
    """Reads a file that `save_exemplars` wrote, and checks all it says.

    Raises:
      DataError: there is no such file, it is damaged, of another version, or not what it should be.
    """
    if not path.is_file():
        raise DataError(f'{path}: there is no such file of exemplars; {_REMEDY}.')
    try:
        arrays = _read_members(path)
        _check(arrays)
    except DataError as error:
        raise DataError(f'{path}: is no usable file of exemplars: it {error}; {_REMEDY}.') from error
    return Exemplars(
        tuple(map(str, arrays['kinds'])),
        tuple(map(str, arrays['modalities'])),
        arrays['pictures'],
        arrays['owners'],
        dict(zip(map(str, arrays['measures']), arrays['thresholds'], strict=True)),
    )


def _read_members(path: Path) -> dict[str, Shaped[np.ndarray, '...']]:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename.removesuffix('.npy'): member.file_size for member in archive.infolist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f'is not readable as .npz ({error})') from error
    if set(sizes) != set(_MEMBERS):
        raise DataError(f'holds {", ".join(sorted(sizes)) or "nothing"} instead of {", ".join(sorted(_MEMBERS))}')
    if sum(sizes.values()) > _LARGEST_FILE:
        raise DataError(f'holds more than {_LARGEST_FILE} bytes')
    return {name: np.array(StoredArray(path, f'{name}.npy').values) for name in _MEMBERS}


def _check(arrays: Mapping[str, Shaped[np.ndarray, '...']]) -> None:
    """Refuses wrong versions, types, shapes and values.

    Raises:
      DataError: saying what is wrong.
    """
    version = arrays['version']
    if version.shape != (1,) or version.dtype.kind not in 'iu' or version[0] != VERSION:
        raise DataError(
            f'is of version {" ".join(map(str, version.ravel()[:3]))}, while this program reads {VERSION}'
        )
    kinds, measures, count = len(arrays['kinds']), len(arrays['measures']), len(arrays['pictures'])
    expected = {
        'kinds': ('U', (kinds,)),
        'modalities': ('U', (kinds,)),
        'pictures': ('u', (count, SIDE, SIDE)),
        'owners': ('i', (count,)),
        'measures': ('U', (measures,)),
        'thresholds': ('f', (measures, kinds)),
    }
    for name, (letter, shape) in expected.items():
        array = arrays[name]
        if array.dtype.kind != letter or array.shape != shape:
            raise DataError(f'has {name} of {array.dtype} {array.shape}, not what their shape must be, {shape}')
    if arrays['pictures'].dtype != np.uint8 or arrays['owners'].dtype != np.int64:
        raise DataError('has pictures that are not uint8, or owners that are not int64')
    if set(arrays['owners'].tolist()) != set(range(kinds)):
        raise DataError('has kinds without exemplars, or exemplars without a kind')
    if len(set(arrays['kinds'].tolist())) != kinds or not all(map(str.isprintable, arrays['kinds'].tolist())):
        raise DataError('names a kind twice, or with unprintable letters')
    if set(arrays['measures'].tolist()) != set(MEASURES) or not np.isfinite(arrays['thresholds']).all():
        raise DataError(f'has no finite thresholds for all of {", ".join(MEASURES)}')
