"""NIfTI-1: one file an image, as an axial slice in radiological order, in physical units where there are any."""

import gzip

import nibabel as nib
import numpy as np
from jaxtyping import Num

from foundation.export.folder import Mask, Stored
from foundation.export.origin import Origin, ValueForm
from foundation.software import SOFTWARE

_ALIGNED = 2  # NIFTI_XFORM_ALIGNED_ANAT: axes are anatomical, the place is not that of a scanner


class NiftiEncoder:
    """Encodes images as volumes of one slice: axes (column, row, 1), and a fourth where channels are many.

    Columns run to the patient's left and rows to the back, as axial slices are displayed and as our own reader
    turns them. Without physical units the stored integers are written. Without spacing, voxels measure 1 in an
    unknown unit, which the description tells.

    Args:
      origin: of the images.
    """

    def __init__(self, origin: Origin) -> None:
        self._form = origin.form
        known = '' if origin.form.spacing else ' (spacing unknown)'
        self._description = (
            f'SYNTHETIC{known} {SOFTWARE} {origin.version} model {origin.model.weights_sha256[:16]}'
        )
        self._dtype = choose_dtype(origin.form)

    def image(self, stored: Stored, label: str, number: int) -> tuple[str, bytes]:
        """See `Encoder`."""
        values = stored if self._form.intensity is None else _physical(stored, self._form.intensity)
        if np.issubdtype(self._dtype, np.integer):
            values = np.rint(values)
        return '.nii.gz', self._encode(values.astype(self._dtype), self._form.intensity)

    def mask(self, mask: Mask) -> tuple[str, bytes]:
        """See `Encoder`."""
        return '.nii.gz', self._encode(mask, None)

    def _encode(self, values: Num[np.ndarray, 'row column channel'], shown: tuple[float, float] | None) -> bytes:
        volume = np.moveaxis(values, 0, 1)[:, :, np.newaxis]
        rows, columns = self._form.spacing or (1.0, 1.0)
        volume = volume[..., 0] if values.shape[-1] == 1 else volume
        image = nib.Nifti1Image(volume, np.diag([-columns, -rows, 1, 1]))
        image.header.set_xyzt_units('mm' if self._form.spacing else 'unknown')
        image.set_sform(image.affine, _ALIGNED)
        image.set_qform(image.affine, _ALIGNED)
        image.header['descrip'] = self._description[:80].encode()
        if shown:
            image.header['cal_min'], image.header['cal_max'] = sorted(shown)
        return encode_nifti(image)


def encode_nifti(image: nib.Nifti1Image) -> bytes:
    """The compressed file; the same image gives the same bytes."""
    return gzip.compress(image.to_bytes(), compresslevel=4, mtime=0)  # higher levels save little and take long


def choose_dtype(form: ValueForm) -> np.dtype:
    """The type of the voxels.

    The stored one without physical units; int16 for Hounsfield units, as scanners have them, and where every
    stored value is a whole number in physical units; else float32.
    """
    if form.intensity is None:
        return np.dtype(form.dtype)
    low, high = form.intensity
    step = (high - low) / np.iinfo(form.dtype).max
    fits = max(abs(low), abs(high)) <= np.iinfo(np.int16).max
    is_whole = step.is_integer() and float(low).is_integer()
    return np.dtype(np.int16 if fits and (is_whole or form.is_hounsfield) else np.float32)


def _physical(stored: Stored, intensity: tuple[float, float]) -> Num[np.ndarray, 'row column channel']:
    low, high = intensity
    return low + (high - low) * (stored / np.iinfo(stored.dtype).max)
