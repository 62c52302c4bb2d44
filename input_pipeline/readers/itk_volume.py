"""NRRD and MetaImage files (.nrrd, .nhdr, .mha, .mhd): what their headers say, and their voxels, by SimpleITK.

SimpleITK is imported when the first such file is met. Headers may name the file of their voxels; it must lie
beside them or below, whatever the library would follow.
"""

import dataclasses
import functools
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num, Real

from input_pipeline.errors import DataError, first_line
from input_pipeline.readers.isolated import read_itk_apart
from input_pipeline.readers.pixels import check_volume_size, storage_dtype

SUFFIXES = ('.nrrd', '.nhdr', '.mha', '.mhd')
_HEADER_SIZE = 2**16  # headers of either format are some lines of text
_FLIPPED = np.diag([-1.0, -1.0, 1.0])  # ITK's axes point left and back, those here right and front


@dataclasses.dataclass(frozen=True, slots=True)
class ItkHeader:
    """What a header says.

    Attributes:
      shape: voxels along the axes of the file, three of them.
      dtype: of the stored values.
      affine: voxel index to millimetres, RAS+.
      spacing: between voxels; 0 where the header tells none.
      voxels: reads them when it is indexed.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    affine: Float[np.ndarray, '4 4']
    spacing: tuple[float, float, float]
    voxels: 'ItkVoxels'


@dataclasses.dataclass(frozen=True, slots=True)
class ItkVoxels:
    """The voxels of a file as an array of four axes that is read each time it is indexed."""

    path: Path
    format: str
    shape: tuple[int, int, int, int]

    def __getitem__(self, key: Any) -> Real[np.ndarray, '...']:
        (values,) = _ask(self.path, self.format, voxels=True)[1]
        return values.T.reshape(self.shape)[key]


def read_itk_header(path: Path, pixel_limit: int) -> ItkHeader:
    """Reads the header, and checks that the voxels are there.

    Raises:
      DataError: not such a file, vectors or colours in its voxels, more than three axes, too large, truncated, or
        a header that names a file elsewhere.
    """
    fields = _read_fields(path)
    voxels_file = _voxels_file(path, fields)
    format_name = 'MetaImageIO' if 'elementdatafile' in fields else 'NrrdImageIO'
    facts, _ = _ask(path, format_name, voxels=False)
    size = tuple(facts['size'])
    if facts['components'] != 1 or any(length != 1 for length in size[3:]):
        raise DataError(
            f'holds voxels of {facts["components"]} components and the size {size}; only volumes of '
            'single values are read: export them one by one'
        )
    first, second, third, *_ = (*size, 1, 1)
    shape = first, second, third
    check_volume_size(math.prod(shape), pixel_limit)
    if facts['dtype'] is None:
        raise DataError(f'holds {facts["type"]}, which are no values of an image')
    dtype = np.dtype(facts['dtype'])
    storage_dtype(dtype)
    needed = math.prod(shape) * dtype.itemsize
    if _is_raw(fields) and voxels_file.stat().st_size < needed:
        raise DataError(f'is truncated: its header describes {needed} bytes, {voxels_file.name} has fewer')
    affine, spacing = _geometry(facts)
    is_known = any(key in fields for key in ('spacings', 'space directions', 'elementspacing', 'elementsize'))
    return ItkHeader(
        shape, dtype, affine, spacing if is_known else (0.0, 0.0, 0.0), ItkVoxels(path, format_name, (*shape, 1))
    )


def encode_like(path: Path, values: Num[np.ndarray, '*shape'], suffix: str) -> bytes:
    """A file of values on the voxels of another, with its size, place and directions, and none of its texts.

    Args:
      path: a file that `read_itk_header` reads.
      values: on the file's own axes, of three; axes of one voxel that it lacks or has beside them do not count.
      suffix: which format, such as `.nrrd`, `.mha` or `.nii`; header and voxels are in one file.
    """
    library = _library()
    reader = library.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    image = library.GetImageFromArray(np.ascontiguousarray(values.reshape(reader.GetSize()).T), isVector=False)
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, f'mask{suffix}')
        library.WriteImage(image, str(written), suffix in SUFFIXES)
        return written.read_bytes()


def named_file(path: Path) -> str | None:
    """The file that a header names for its voxels, None where they follow the header or it cannot be read."""
    try:
        fields = _read_fields(path)
    except (DataError, OSError):
        return None
    name = fields.get('elementdatafile') or fields.get('data file')
    return None if name is None or name.upper() == 'LOCAL' else name


@functools.cache
def _library() -> ModuleType:
    try:
        import SimpleITK
    except ImportError as error:
        raise DataError(
            'is read by SimpleITK, which is not installed: pip install "enhanced-gan[itk]", or convert it to NIfTI'
        ) from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # what matters is checked here, and told
    return SimpleITK


def _read_fields(path: Path) -> dict[str, str]:
    """The lines of the header: `key: value` in NRRD, `key = value` in MetaImage, names in lower case."""
    with path.open('rb') as file:
        start = file.read(_HEADER_SIZE)
    is_nrrd = start.startswith(b'NRRD')
    fields: dict[str, str] = {}
    for line in start.splitlines():
        text = line.decode('utf-8', 'surrogateescape').strip()
        if is_nrrd and not text:
            return fields
        key, found, value = text.partition(':' if is_nrrd else '=')
        key = key.strip().lower().replace('datafile', 'data file') if is_nrrd else key.strip().lower()
        if found and not text.startswith('#') and not value.startswith('='):
            if key in fields:  # which of them the library takes is its own affair
                raise DataError(f'says {key!r} twice in its header')
            fields[key] = value.strip()
        if not is_nrrd and key == 'elementdatafile':
            return fields
    if is_nrrd and fields and len(start) < _HEADER_SIZE:
        return fields
    raise DataError('is neither NRRD nor MetaImage, by its header')


def _voxels_file(path: Path, fields: dict[str, str]) -> Path:
    """The file that holds the voxels.

    Raises:
      DataError: it lies elsewhere, is not there, or is one of several.
    """
    name = fields.get('elementdatafile') or fields.get('data file') or 'LOCAL'
    if name.upper() == 'LOCAL':
        return path
    if name.upper().startswith('LIST') or '%' in name:
        raise DataError('spreads its voxels over several files; save it as one file (.nrrd, .mha)')
    relative = PurePosixPath(name.replace('\\', '/'))
    target = path.parent / relative
    outside = relative.is_absolute() or PureWindowsPath(name).drive or '..' in relative.parts or '\0' in name
    if outside or not target.resolve().is_relative_to(path.parent.resolve()):
        raise DataError(f'names the file {name!r} for its voxels, which does not lie beside it; put both together')
    if not target.is_file():
        raise DataError(f'is a header without its voxels ({name} is missing)')
    return target


def _is_raw(fields: dict[str, str]) -> bool:
    encoding, compressed = fields.get('encoding', 'raw').lower(), fields.get('compresseddata', 'false').lower()
    return encoding == 'raw' and compressed != 'true' and fields.get('binarydata', 'true').lower() == 'true'


def _geometry(facts: Mapping[str, Any]) -> tuple[Float[np.ndarray, '4 4'], tuple[float, float, float]]:
    """Affine and spacing of the first three axes; missing axes are one millimetre wide."""
    axes = len(facts['size'])
    direction = np.array(facts['direction']).reshape(axes, axes)
    turned, spacing, origin = np.eye(3), np.ones(3), np.zeros(3)
    shared = min(axes, 3)
    turned[:shared, :shared] = direction[:shared, :shared]
    spacing[:shared], origin[:shared] = facts['spacing'][:shared], facts['origin'][:shared]
    affine = nib.affines.from_matvec(_FLIPPED @ turned * spacing, _FLIPPED @ origin)
    return affine, (float(spacing[0]), float(spacing[1]), float(spacing[2]))


def _ask(path: Path, library: str, *, voxels: bool) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Header or voxels, read in a process of its own: some damaged files end the one that reads them."""
    _library()
    try:
        return read_itk_apart(path, library, voxels=voxels)
    except ValueError as error:
        raise DataError(f'is not readable as NRRD or MetaImage ({_reason(error)})') from error


def _reason(error: ValueError) -> str:
    """The last line of what ITK says, which names the cause, without paths of its sources and of the file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[-1].startswith('Reason:'):  # of the system, which knows none
        return 'the library tells no reason'
    return lines[-1][:200] if lines else first_line(error)
