"""Where slices lie: from what was made of records back to the voxels of a file, and to places in the patient."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from jaxtyping import Float, Shaped

from input_pipeline.errors import DataError
from input_pipeline.readers import dicom_file
from input_pipeline.readers.nifti import from_upright

_UNEVEN = 0.01  # of the distance between slices, that one of them may be off


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeGrid:
    """The voxels of one volume of a NIfTI, NRRD or MetaImage file.

    Attributes:
      file: the file.
      shape: of one volume on the file's own axes: that of the file, without its fourth axis where volumes are
        several.
      orientation: turns those axes to RAS+ (see nibabel.orientations).
      axis: of RAS+ along which the volume was cut.
    """

    file: Path
    shape: tuple[int, ...]
    orientation: Float[np.ndarray, '3 2']
    axis: int

    def restore(self, slices: Shaped[np.ndarray, 'slices height width']) -> Shaped[np.ndarray, '...']:
        """Slices as records show them, put back on the file's own axes."""
        turned = np.stack([from_upright(shown) for shown in slices], axis=self.axis)
        ras = np.array([[0, 1], [1, 1], [2, 1]])
        back = nib.orientations.ornt_transform(ras, self.orientation)
        return np.ascontiguousarray(nib.apply_orientation(turned, back)).reshape(self.shape)


@dataclasses.dataclass(frozen=True, slots=True)
class DicomGrid:
    """The planes of a DICOM series.

    Attributes:
      frames: file, and number of the frame in it from 0, of each record by its key.
    """

    frames: Mapping[str, tuple[Path, int]]

    def files_of(self, keys: Sequence[str]) -> list[Path]:
        """The files of the records of these keys, in their order."""
        return list(dict.fromkeys(self.frames[key][0] for key in keys))

    def affine(self, keys: Sequence[str]) -> Float[np.ndarray, '4 4']:
        """Millimetres in RAS+ of voxel (column, row, slice) when the records of these keys are stacked.

        DICOM's own axes run to the left and to the back (LPS+), so that two rows change their sign (PS3.3,
        equation C.7.6.2.1-1).

        Raises:
          DataError: position, orientation or spacing is unknown, or slices are not evenly spaced.
        """
        headers = {path: read_header(path) for path in self.files_of(keys)}
        planes = [_plane(headers[path], frame) for path, frame in (self.frames[key] for key in keys)]
        positions = np.array([plane[:, 3] for plane in planes])
        affine = np.eye(4)
        affine[:3] = planes[0]
        if len(planes) > 1:
            step = (positions[-1] - positions[0]) / (len(planes) - 1)
            even = positions[0] + np.arange(len(planes))[:, None] * step
            length = float(np.linalg.norm(step))
            if length == 0 or np.linalg.norm(positions - even, axis=1).max() > _UNEVEN * length:
                raise DataError('its slices are not evenly spaced, so that they do not make up one volume')
            affine[:3, 2] = step
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def read_header(path: Path) -> pydicom.Dataset:
    """All elements of a file that was found to be an image, but its pixels."""
    with warnings.catch_warnings():  # of breaches of the standard that pydicom copes with
        warnings.simplefilter('ignore', UserWarning)
        return pydicom.dcmread(path, force=True, stop_before_pixels=True)


def _plane(header: pydicom.Dataset, frame: int) -> Float[np.ndarray, '3 4']:
    """Millimetres in LPS+ of a step along columns, rows and slices, and of the first pixel."""
    orientation, position = dicom_file.orientation(header, frame), dicom_file.position(header, frame)
    rows, columns, between = dicom_file.millimetres(header)
    if not (orientation and position and rows and columns):
        raise DataError('its position, orientation or spacing in the patient is unknown')
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    return np.stack([along_row * columns, along_column * rows, normal * (between or 1.0), position], axis=1)
