"""One NIfTI, NRRD or MetaImage file: what its header says, and its voxels on RAS+ axes as the file stores them."""

import dataclasses
import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Real, UInt8
from nibabel.arrayproxy import ArrayProxy

from input_pipeline.errors import DataError, one_line
from input_pipeline.readers.itk_volume import SUFFIXES, ItkVoxels, read_itk_header
from input_pipeline.readers.masks import class_ids
from input_pipeline.readers.pixels import check_volume_size, storage_dtype
from input_pipeline.records import Dtype

_DEFLATE_RATIO = 1032  # bytes that one compressed byte can become (https://zlib.net/zlib_tech.html)
_PIECE = 2**20  # bytes
_MILLIMETRES = {'meter': 1000.0, 'micron': 0.001}


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A file whose voxels are not read yet.

    Attributes:
      shape: voxels along right, anterior and superior.
      count: volumes along the fourth axis, 1 without one.
      storage: the type slices are stored in.
      spacing: millimetres between voxels along right, anterior and superior.
      affine: RAS+ voxel index to millimetres.
      slope: physical units of one step of the stored values.
      intercept: physical value of a stored 0.
      stored: the unscaled values on the file's own axes, read when indexed.
      orientation: turns those axes to RAS+ (see nibabel.orientations).
      file_shape: as the header says, with as many axes as it has.
      contradiction: what the header says that cannot be true together, and what is used; '' where it is sound.
    """

    shape: tuple[int, ...]
    count: int
    storage: Dtype
    spacing: tuple[float, ...]
    affine: Float[np.ndarray, '4 4']
    slope: float
    intercept: float
    stored: ArrayProxy | ItkVoxels
    orientation: Float[np.ndarray, '3 2']
    file_shape: tuple[int, ...]
    contradiction: str = ''

    def read(self, index: int) -> Real[np.ndarray, 'right anterior superior']:
        """The unscaled values of one volume, on RAS+ axes.

        Raises:
          DataError: the file is truncated or damaged.
        """
        try:
            values = np.asarray(self.stored[..., index])
        except Exception as error:  # gzip and nibabel raise many kinds on damaged bytes
            raise DataError(f'is truncated or damaged ({one_line(error)})') from error
        return nib.apply_orientation(values, self.orientation)


def open_volume(path: Path, pixel_limit: int) -> Volume:
    """Reads the header of a NIfTI-1, NIfTI-2, NRRD or MetaImage file.

    Raises:
      DataError: none of these, not an image of two to four axes, too large, or shorter than its header says.
    """
    if path.suffix.lower() in SUFFIXES:
        return _open_itk(path, pixel_limit)
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel raises many kinds on damaged headers
        raise DataError(f'is not readable as NIfTI ({one_line(error)})') from error
    if not isinstance(image, nib.Nifti1Pair):
        raise DataError(f'is of the kind {type(image).__name__}, not a NIfTI volume; convert it first')
    shape = _four_axes(image.shape)
    check_volume_size(math.prod(shape[:3]), pixel_limit)
    proxy: Any = image.dataobj  # an ArrayProxy, which nibabel types as any array
    storage = storage_dtype(proxy.dtype)
    _check_length(Path(proxy.file_like), proxy.offset + math.prod(shape) * proxy.dtype.itemsize, shape[3])
    orientation = nib.io_orientation(image.affine)
    if not np.isfinite(orientation).all():
        raise DataError('has no usable orientation: its affine has an axis of length zero')
    order = np.argsort(orientation[:, 0])
    try:
        millimetres = _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    except KeyError as error:
        raise DataError(f'has a unit of length or time that NIfTI does not know ({error})') from error
    zooms = (*map(float, image.header.get_zooms()), 1.0, 1.0)[:3]
    return Volume(
        shape=tuple(shape[axis] for axis in order),
        count=shape[3],
        storage=storage,
        spacing=tuple(zooms[axis] * millimetres for axis in order),
        affine=image.affine @ nib.orientations.inv_ornt_aff(orientation, shape[:3]),
        slope=float(proxy.slope),
        intercept=float(proxy.inter),
        stored=ArrayProxy(proxy.file_like, (shape, proxy.dtype, proxy.offset), keep_file_open=True),
        orientation=orientation,
        file_shape=tuple(map(int, image.shape)),
        contradiction=_find_contradiction(image, zooms),
    )


def _open_itk(path: Path, pixel_limit: int) -> Volume:
    header = read_itk_header(path, pixel_limit)
    orientation = nib.io_orientation(header.affine)
    if not np.isfinite(orientation).all():
        raise DataError('has no usable orientation: its axes do not span space')
    order = np.argsort(orientation[:, 0])
    return Volume(
        shape=tuple(header.shape[axis] for axis in order),
        count=1,
        storage=storage_dtype(header.dtype),
        spacing=tuple(header.spacing[axis] for axis in order),
        affine=header.affine @ nib.orientations.inv_ornt_aff(orientation, header.shape),
        slope=1.0,
        intercept=0.0,
        stored=header.voxels,
        orientation=orientation,
        file_shape=header.shape,
    )


def _find_contradiction(image: nib.Nifti1Pair, zooms: tuple[float, ...]) -> str:
    """What pixdim, sform and qform say; the place comes from the sform, else the qform, as NIfTI-1 has it."""
    sides = nib.affines.voxel_sizes(image.affine)
    if int(image.header['sform_code']) <= 0:
        return ''
    if not np.allclose(sides, zooms, rtol=0.01):
        shown = [' x '.join(f'{side:.4g}' for side in lengths) for lengths in (zooms, sides)]
        return f'voxels are {shown[0]} by pixdim and {shown[1]} by the sform; pixdim is used as spacing'
    qform, code = image.get_qform(coded=True) if int(image.header['qform_code']) > 0 else (None, 0)
    if qform is None or not code:
        return ''
    corners = np.stack([*np.ndindex(2, 2, 2)]) * (np.array((*image.shape, 1, 1)[:3]) - 1)
    distance = float(np.linalg.norm(nib.affines.apply_affine(image.affine - qform, corners), axis=-1).max())
    if distance <= min(zooms) / 2:
        return ''
    return f'sform and qform put a corner {distance:.4g} apart; the sform is used'


def _four_axes(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    first, second, third, fourth, *extra = (*(int(length) for length in shape), 1, 1, 1, 1)
    if len(shape) < 2 or any(length != 1 for length in extra):
        raise DataError(f'has the shape {tuple(shape)}; only images of two to four axes are read')
    if min(shape) < 1:  # a damaged header of 64 bits may also say less than nothing
        raise DataError('holds no voxels')
    return first, second, third, fourth


def _check_length(path: Path, needed: int, count: int) -> None:
    """Raises DataError where a file is shorter than its header says; of a packed volume, where it must be.

    Several packed volumes are unpacked once to know: with the last ones missing, each would be looked for anew.
    """
    if not path.is_file():
        raise DataError(f'is a header without its voxels ({path.name} is missing)')
    length = path.stat().st_size
    is_packed = path.suffix.lower() == '.gz'
    if (length * _DEFLATE_RATIO if is_packed else length) < needed:
        raise DataError(f'is truncated: its header describes {needed} bytes, the file has {length}')
    if is_packed and count > 1 and (unpacked := _unpacked_length(path, needed)) < needed:
        raise DataError(f'is truncated: its header describes {needed} bytes, {unpacked} can be unpacked')


def _unpacked_length(path: Path, needed: int) -> int:
    """How many bytes a .gz file holds; not more than a piece beyond `needed` are unpacked."""
    unpacked = 0
    try:
        with gzip.open(path) as packed:
            while unpacked < needed and (piece := packed.read(_PIECE)):
                unpacked += len(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f'is truncated or damaged ({one_line(error)})') from error
    return unpacked


def check_same_space(image: Volume, labels: Volume) -> None:
    """Refuses labels that do not lie on the voxels of their image.

    Raises:
      DataError: another shape, a fourth axis, or a corner more than half a voxel away.
    """
    if labels.shape != image.shape or labels.count != 1:
        shapes = ' and '.join('x'.join(map(str, (*v.shape, v.count))) for v in (image, labels))
        raise DataError(f'image and labels have the shapes {shapes}; they must be equal')
    corners = np.stack([*np.ndindex(2, 2, 2)]) * (np.array(image.shape) - 1)
    apart = nib.affines.apply_affine(image.affine - labels.affine, corners)
    if np.linalg.norm(apart, axis=-1).max() > nib.affines.voxel_sizes(image.affine).min() / 2:
        raise DataError('image and labels lie in different places; resample the labels onto the image')


def read_labels(
    path: Path, pixel_limit: int, threshold: float | None = None
) -> UInt8[np.ndarray, 'right anterior superior']:
    """Class ids on RAS+ axes; `threshold` as in `masks.class_ids`.

    Raises:
      DataError: as `open_volume` and `masks.class_ids`.
    """
    volume = open_volume(path, pixel_limit)
    values = volume.read(0)
    if (volume.slope, volume.intercept) != (1.0, 0.0):
        values = values * volume.slope + volume.intercept
    return class_ids(values, threshold)
