"""DICOM: each image a patient, study and series of its own, marked as synthetic (DICOM PS3.3).

Grey images of CT or MR data with known spacing become CT Image Storage (A.3) and MR Image Storage (A.4), which
both demand a spacing; all others Secondary Capture (A.8). Masks lie beside as NIfTI, in the space of the images.
"""

import hashlib
import io

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

from foundation.export.folder import Mask, Stored
from foundation.export.nifti import NiftiEncoder
from foundation.export.origin import Origin
from foundation.software import SOFTWARE
from foundation.training.errors import UserError

# Defined terms of Modality (C.7.3.1.1.1) for kinds of pictures; all else is 'other'.
_MODALITIES = {
    'CR', 'CT', 'DX', 'ES', 'GM', 'IO', 'IVOCT', 'MG', 'MR', 'NM', 'OCT', 'OP', 'OPT', 'PT', 'RF', 'RG', 'SM',
    'US', 'XA', 'XC',
}  # fmt: skip
_CLASSES = {'CT': CTImageStorage, 'MR': MRImageStorage}
_COMMENT = 'SYNTHETIC image drawn by a generative model; not of a person, not for diagnosis.'
_SMALLEST_CT_BITS = 12  # C.8.2.1.1.4


class DicomEncoder:
    """Encodes images as DICOM files; values in physical units read back through slope and intercept.

    Colour is written with 8 bits a channel, as viewers expect.

    Args:
      origin: of the images.

    Raises:
      UserError: for images of neither one nor three channels.
    """

    def __init__(self, origin: Origin) -> None:
        form = origin.form
        if form.channels not in (1, 3):
            raise UserError(
                f'DICOM holds images of 1 or 3 channels, this generator draws {form.channels}; '
                'use --format=png, nifti or tfds.'
            )
        self._origin, self._masks = origin, NiftiEncoder(origin)
        self._modality = form.modality if form.modality in _MODALITIES else 'OT'
        is_plane = form.channels == 1 and form.spacing is not None
        self._class = _CLASSES.get(form.modality if is_plane else '', SecondaryCaptureImageStorage)

    def image(self, stored: Stored, label: str, number: int) -> tuple[str, bytes]:
        """See `Encoder`."""
        dataset = FileDataset('', {}, file_meta=FileMetaDataset(), preamble=b'\0' * 128)
        dataset.SpecificCharacterSet = 'ISO_IR 192'
        self._add_identity(dataset, hashlib.sha256(stored.tobytes()).hexdigest(), label, number)
        self._add_equipment(dataset)
        {CTImageStorage: _add_ct, MRImageStorage: _add_mr}.get(self._class, _add_capture)(dataset)
        if self._origin.form.spacing is not None:
            dataset.PixelSpacing = [format_number_as_ds(side) for side in self._origin.form.spacing]
        if stored.shape[-1] == 3:
            _add_colour(dataset, stored)
        else:
            self._add_grey(dataset, stored)
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return '.dcm', file.getvalue()

    def mask(self, mask: Mask) -> tuple[str, bytes]:
        """See `Encoder`."""
        return self._masks.mask(mask)

    def _add_identity(self, dataset: Dataset, pixels: str, label: str, number: int) -> None:
        """Patient, study, series and instance, new for each image and the same for the same command."""
        weights, seed = self._origin.model.weights_sha256, self._origin.seed

        def create_uid(level: str) -> UID:
            return generate_uid(entropy_srcs=[SOFTWARE, weights, str(seed), str(number), pixels, level])

        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = self._class
        dataset.SOPInstanceUID = create_uid('instance')
        dataset.SeriesInstanceUID = create_uid('series')
        dataset.StudyInstanceUID = create_uid('study')
        dataset.FrameOfReferenceUID = create_uid('frame of reference')
        dataset.PatientName = f'SYNTHETIC^{number:06d}'
        dataset.PatientID = f'SYNTHETIC-{weights[:12]}-{seed}-{number:06d}'
        for keyword in (
            'PatientBirthDate', 'PatientSex', 'PatientOrientation', 'StudyDate', 'StudyTime', 'AccessionNumber',
            'ReferringPhysicianName', 'PositionReferenceIndicator', 'Laterality',
        ):  # fmt: skip
            setattr(dataset, keyword, '')
        dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = 'SYNTHETIC', 1, 1
        dataset.StudyDescription = dataset.SeriesDescription = 'SYNTHETIC'
        dataset.SyntheticData = 'YES'
        dataset.ImageComments = f'{_COMMENT} Class: {label}' if label else _COMMENT
        dataset.DerivationDescription = _COMMENT
        dataset.BurnedInAnnotation, dataset.LossyImageCompression = 'NO', '00'

    def _add_equipment(self, dataset: Dataset) -> None:
        """Who made it (C.7.5.1), and how (C.12.1.1.5)."""
        equipment = Dataset()
        for part in (dataset, equipment):
            part.Manufacturer = part.ManufacturerModelName = SOFTWARE
            part.SoftwareVersions = self._origin.version
        model = self._origin.model
        equipment.ContributionDescription = (
            f'Synthesis; model weights SHA-256 {model.weights_sha256}, config SHA-256 {model.config_sha256}'
        )
        purpose = Dataset()
        purpose.CodeValue, purpose.CodingSchemeDesignator = '109100', 'DCM'
        purpose.CodeMeaning = 'Synthesizing Equipment'
        equipment.PurposeOfReferenceCodeSequence = [purpose]
        dataset.ContributingEquipmentSequence = [equipment]
        dataset.Modality = self._modality

    def _add_grey(self, dataset: Dataset, stored: Stored) -> None:
        """Pixels, and the units they are in (C.7.6.3, C.11.1).

        Where brightness falls with the physical value, they are stored reversed, as MONOCHROME1 wants them.
        """
        form, largest = self._origin.form, int(np.iinfo(stored.dtype).max)
        low, high = form.intensity or (0.0, float(largest))
        is_reversed = high < low
        if is_reversed:
            low, high, stored = high, low, largest - stored
        dataset.PhotometricInterpretation = 'MONOCHROME1' if is_reversed else 'MONOCHROME2'
        is_wide = self._class != SecondaryCaptureImageStorage or stored.dtype == np.uint16
        bits = 8 * stored.itemsize
        add_pixels(
            dataset,
            stored.astype('<u2') if is_wide else stored,
            max(bits, _SMALLEST_CT_BITS) if is_wide else bits,
        )
        slope = (high - low) / largest
        if form.intensity is not None or self._class == CTImageStorage:
            dataset.RescaleSlope, dataset.RescaleIntercept = format_number_as_ds(slope), format_number_as_ds(low)
            dataset.RescaleType = 'HU' if form.is_hounsfield else 'US'
        # Shown from end to end: the linear function (C.11.2.1.2.1) covers width - 1 values.
        dataset.WindowCenter = format_number_as_ds((low + high + 1) / 2)
        dataset.WindowWidth = format_number_as_ds(high - low + 1)


def add_pixels(dataset: Dataset, stored: Stored, bits: int) -> None:
    """Puts unsigned integers into a data set (C.7.6.3)."""
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * stored.itemsize, bits, bits - 1
    dataset.PixelRepresentation = 0
    content = stored.tobytes()
    dataset.PixelData = content + b'\0' * (len(content) % 2)
    dataset['PixelData'].VR = 'OW' if stored.itemsize == 2 else 'OB'


def _add_colour(dataset: Dataset, stored: Stored) -> None:
    if stored.dtype == np.uint16:
        stored = np.rint(stored / 257).astype(np.uint8)
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 'RGB', 0
    add_pixels(dataset, stored, 8)


def _add_plane(dataset: Dataset) -> None:
    """An axial plane at the origin: the standard wants a place, synthetic images have none (C.7.6.2)."""
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.SliceThickness, dataset.PatientPosition = None, 'HFS'


def _add_ct(dataset: Dataset) -> None:
    """C.8.2.1; values that a scanner would know are empty."""
    _add_plane(dataset)
    dataset.ImageType = ['DERIVED', 'SECONDARY', 'AXIAL']
    dataset.KVP, dataset.AcquisitionNumber = None, None


def _add_mr(dataset: Dataset) -> None:
    """C.8.3.1; 'RM' is research mode, as no sequence of a scanner made the image."""
    _add_plane(dataset)
    dataset.ImageType = ['DERIVED', 'SECONDARY', 'OTHER']
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.MRAcquisitionType = 'RM', 'NONE', '2D'
    dataset.ScanOptions = ''
    dataset.RepetitionTime = dataset.EchoTime = dataset.EchoTrainLength = None


def _add_capture(dataset: Dataset) -> None:
    """C.8.6.1: 'SYN' is a synthetic image."""
    dataset.ImageType, dataset.ConversionType = ['DERIVED', 'SECONDARY'], 'SYN'
    for keyword in ('FrameOfReferenceUID', 'PositionReferenceIndicator'):
        delattr(dataset, keyword)
