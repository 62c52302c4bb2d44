"""From a prediction to files: which format, and never half a file under its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from foundation.export import nifti, pictures
from foundation.files import write_file
from foundation.software import SOFTWARE
from foundation.training.errors import UserError
from input_pipeline import DataError
from input_pipeline.inputs import DicomGrid, Kind, VolumeGrid, encode_like
from segment.formats.dicom_seg import encode_dicom_seg
from segment.formats.overlays import draw_overlay
from segment.formats.prediction import Prediction


def encode_png(prediction: Prediction) -> dict[str, bytes]:
    """A file for a picture or a single slice; for volumes a folder with a file for each slice, from 0000.

    Pixels are class ids, which viewers show in the colours of the overlays; see `files.ENCODERS`.
    """
    contents = [pictures.encode_mask(mask[..., None]) for mask in prediction.masks]
    if len(contents) == 1:
        return {'.png': contents[0]}
    return {f'/{number:04d}.png': content for number, content in enumerate(contents)}


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
    image = _on_file(prediction, grid) if isinstance(grid, VolumeGrid) else _on_series(prediction)
    header = image.header
    header.set_intent(_LABEL)
    header['descrip'] = f'{SOFTWARE} mask, weights {prediction.checksum[:16]}'.encode()
    return {'.nii.gz': nifti.encode_nifti(image)}


def _on_file(prediction: Prediction, grid: VolumeGrid) -> nib.Nifti1Image:
    """The shape, affines and units of the file that was segmented, to the bit where it is NIfTI."""
    if prediction.incoming.kind != 'nifti':
        return nib.Nifti1Image.from_bytes(encode_like(grid.file, grid.restore(prediction.masks), '.nii'))
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


def encode_nrrd(prediction: Prediction) -> dict[str, bytes]:
    """One volume of unsigned bytes on the voxels of an NRRD file; see `files.ENCODERS`."""
    return _encode_like(prediction, '.nrrd')


def encode_metaimage(prediction: Prediction) -> dict[str, bytes]:
    """One volume of unsigned bytes on the voxels of a MetaImage file; see `files.ENCODERS`."""
    return _encode_like(prediction, '.mha')


def _encode_like(prediction: Prediction, suffix: str) -> dict[str, bytes]:
    grid = prediction.incoming.grid
    assert isinstance(grid, VolumeGrid)  # of the kinds that `choose_format` lets have this format
    return {suffix: encode_like(grid.file, grid.restore(prediction.masks), suffix)}


# Each gives the bytes of its files, by what is appended to the name of the case.
ENCODERS: dict[str, Callable[[Prediction], dict[str, bytes]]] = {
    'png': encode_png,
    'nifti': encode_nifti,
    'nrrd': encode_nrrd,
    'metaimage': encode_metaimage,
    'dicom_seg': encode_dicom_seg,
}
FORMATS = ('auto', *ENCODERS)
# What each kind of file may become, its own format first.
_ALLOWED: dict[str, tuple[str, ...]] = {
    'raster': ('png',),
    'nifti': ('nifti', 'png'),
    'nrrd': ('nrrd', 'nifti', 'png'),
    'metaimage': ('metaimage', 'nifti', 'png'),
    'dicom': ('dicom_seg', 'nifti', 'png'),
}


def choose_format(kind: Kind, wanted: str) -> str:
    """The format of masks of files of this kind.

    Raises:
      UserError: when the wanted format cannot hold them.
    """
    allowed = _ALLOWED[kind]
    if wanted not in ('auto', *allowed):
        raise UserError(
            f'masks of {kind} files cannot be written as {wanted}; use --format={" or ".join(allowed)}.'
        )
    return allowed[0] if wanted == 'auto' else wanted


def write_masks(prediction: Prediction, format_name: str, out: Path) -> list[str]:
    """Writes masks/NAME and what the format appends; returns the names of the files, relative to `out`.

    Raises:
      UserError: when the format cannot hold them, or a file of this name was written.
    """
    name = f'masks/{prediction.incoming.name}'
    contents = ENCODERS[format_name](prediction)
    for ending in contents:  # a volume's folder of slices may be that of pictures
        if (out / f'{name}{ending}').exists():
            raise UserError(f'{name}{ending} holds the mask of another file already; segment this one by itself.')
    for ending, content in contents.items():
        write_file(out / f'{name}{ending}', content)
    return [f'{name}{ending}' for ending in contents]


def write_overlay(prediction: Prediction, out: Path) -> str:
    """Writes overlays/NAME.png and returns that name."""
    name = f'overlays/{prediction.incoming.name}.png'
    write_file(out / name, draw_overlay(prediction))
    return name
