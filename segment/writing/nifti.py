"""NIfTI masks: on the voxels of a NIfTI volume with its own header, or on the planes of a DICOM series."""

import gzip
from typing import Any

import nibabel as nib
import numpy as np

from foundation.training.errors import UserError
from input_pipeline import DataError
from input_pipeline.incoming import DicomGrid, NiftiGrid
from segment.writing.prediction import SOFTWARE, Prediction

_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
_LABEL = 1002  # NIFTI_INTENT_LABEL
# Of an image's header, what does not hold for its mask: the display range, and texts that may name a patient.
_TEXTS = ('descrip', 'aux_file', 'intent_name', 'db_name')


def encode_nifti(prediction: Prediction) -> dict[str, bytes]:
    """One volume of unsigned bytes; see `files.ENCODERS`.

    Raises:
      UserError: for a DICOM series that is no even stack of slices in a known place.
    """
    grid = prediction.incoming.grid
    image = _on_file(prediction, grid) if isinstance(grid, NiftiGrid) else _on_series(prediction)
    header = image.header
    header.set_intent(_LABEL)
    header['descrip'] = f'{SOFTWARE} mask, weights {prediction.checksum[:16]}'.encode()
    return {'.nii.gz': gzip.compress(image.to_bytes(), compresslevel=4, mtime=0)}


def _on_file(prediction: Prediction, grid: NiftiGrid) -> nib.Nifti1Image:
    """The shape, affines and units of the file that was segmented, to the bit."""
    source: Any = nib.load(grid.file)  # nibabel types it as a file of any kind
    kind = nib.Nifti2Image if isinstance(source.header, nib.Nifti2Header) else nib.Nifti1Image
    header = kind.header_class.from_header(source.header)
    header.extensions.clear()
    for field in _TEXTS:
        if field in header:  # NIfTI-2 has fewer
            header[field] = b''
    header['cal_min'] = header['cal_max'] = 0
    header.set_slope_inter(1, 0)
    header.set_data_dtype(np.uint8)
    return kind(grid.restore(prediction.masks), source.affine, header)


def _on_series(prediction: Prediction) -> nib.Nifti1Image:
    """Axes (column, row, slice) of the series."""
    grid = prediction.incoming.grid
    if not isinstance(grid, DicomGrid):
        raise UserError('a picture has no place in space that NIfTI could hold; use --format=png.')
    try:
        affine = grid.affine([record.key for record in prediction.case.records])
    except DataError as error:
        raise UserError(f'{error}, and NIfTI cannot hold its mask; use --format=dicom_seg or png.') from error
    image = nib.Nifti1Image(np.ascontiguousarray(prediction.masks.transpose(2, 1, 0)), affine)
    image.header.set_xyzt_units('mm')
    image.set_sform(affine, _SCANNER)
    return image
