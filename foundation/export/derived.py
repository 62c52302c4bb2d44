"""DICOM images that were computed from others: of the same patient and place, marked as derived and synthetic."""

import dataclasses
import hashlib
import io

import numpy as np
from jaxtyping import Float, UInt16
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

from foundation.export.dicom import add_pixels
from foundation.software import SOFTWARE, software_version

_CLASSES = {'CT': CTImageStorage, 'MR': MRImageStorage}
_COMMENT = 'SYNTHETIC: computed by a neural network from an image of this patient; not for diagnosis.'
# What a derived image has in common with its source: the patient, the study and the frame of reference.
_KEPT = (
    'PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex', 'StudyInstanceUID', 'StudyDate', 'StudyTime',
    'StudyID', 'AccessionNumber', 'ReferringPhysicianName', 'StudyDescription', 'FrameOfReferenceUID',
    'PositionReferenceIndicator', 'PatientPosition', 'BodyPartExamined', 'Laterality', 'PatientOrientation',
    'SliceThickness', 'SpacingBetweenSlices',
)  # fmt: skip
_TYPE_2 = (
    'PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex', 'StudyDate', 'StudyTime', 'StudyID',
    'AccessionNumber', 'ReferringPhysicianName',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class DicomDerivation:
    """How images were derived.

    Attributes:
      modality: of the results, as DICOM has it; those of others than CT and MR are secondary captures.
      is_hounsfield: whether their values are Hounsfield units.
      window: physical values of 0 and of 65535.
      weights_sha256: of the network.
      meaning: what was done, in at most 64 characters.
      target: name of what images become, where the network can make several things of them; '' otherwise.
    """

    modality: str
    is_hounsfield: bool
    window: tuple[float, float]
    weights_sha256: str
    meaning: str
    target: str

    def encode(
        self,
        stored: UInt16[np.ndarray, 'height width 1'],
        source: Dataset,
        frame: int,
        plane: Float[np.ndarray, '3 4'] | None,
        number: int,
        volume: str,
    ) -> bytes:
        """One image as a file of its own.

        Args:
          stored: 0 and 65535 for the two ends of `window`, the first of which is the lower.
          source: header of the image that it was computed from.
          frame: of that file, from 0.
          plane: millimetres in LPS+ of a step along columns, rows and slices, and of the first pixel; None where
            the place is unknown.
          number: of the image in its series, from 1.
          volume: what tells it from other volumes of its series, see `name_volume`.
        """
        dataset = FileDataset('', {}, file_meta=FileMetaDataset(), preamble=b'\0' * 128)
        dataset.SpecificCharacterSet = source.get('SpecificCharacterSet') or 'ISO_IR 192'
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        for keyword in (*_TYPE_2, *_KEPT):
            if keyword in source or keyword in _TYPE_2:
                setattr(dataset, keyword, source.get(keyword, ''))
        pixels = hashlib.sha256(stored.tobytes()).hexdigest()
        self._identify(dataset, source, frame, number, pixels, volume)
        self._place(dataset, plane)
        self._derive(dataset, source, frame)
        low, high = self.window
        dataset.PhotometricInterpretation = 'MONOCHROME2'
        add_pixels(dataset, stored, 16)
        dataset.RescaleIntercept = format_number_as_ds(low)
        dataset.RescaleSlope = format_number_as_ds((high - low) / np.iinfo(np.uint16).max)
        dataset.RescaleType = 'HU' if self.is_hounsfield else 'US'
        dataset.WindowCenter = format_number_as_ds((low + high + 1) / 2)
        dataset.WindowWidth = format_number_as_ds(high - low + 1)
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()

    def _identify(
        self, dataset: Dataset, source: Dataset, frame: int, number: int, pixels: str, volume: str
    ) -> None:
        """New UIDs of series and instance, the same for the same network and source, also where that has none."""
        own = [SOFTWARE, self.weights_sha256, self.meaning, self.target]
        series = [str(source.get(name, '')) for name in ('PatientID', 'StudyInstanceUID', 'SeriesInstanceUID')]
        instance = [str(source.get('SOPInstanceUID') or [*series, number, pixels]), str(frame)]
        dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[*own, 'series', *series, volume])
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*own, 'instance', *instance])
        if not dataset.get('StudyInstanceUID'):
            dataset.StudyInstanceUID = generate_uid(entropy_srcs=[*own, 'study', *series])
        dataset.Modality = self.modality if self.modality in _CLASSES else 'OT'
        dataset.SeriesNumber = 1000 + int(source.get('SeriesNumber') or 0) % 1000  # apart from those of a scanner
        dataset.InstanceNumber = number
        dataset.SeriesDescription = ': '.join(filter(None, (self.target, self.meaning)))[:64]
        dataset.Manufacturer = dataset.ManufacturerModelName = SOFTWARE
        dataset.SoftwareVersions = software_version()

    def _place(self, dataset: Dataset, plane: Float[np.ndarray, '3 4'] | None) -> None:
        """The class of the image, and where it lies; without a place it is a secondary capture."""
        dataset.SOPClassUID = _CLASSES.get(self.modality, SecondaryCaptureImageStorage)
        if plane is None or dataset.SOPClassUID == SecondaryCaptureImageStorage:
            dataset.SOPClassUID = SecondaryCaptureImageStorage
            dataset.ConversionType = 'SYN'
        if plane is not None:
            columns, rows = (float(np.linalg.norm(plane[:, axis])) for axis in (0, 1))
            directions = np.concatenate([plane[:, 0] / columns, plane[:, 1] / rows])
            dataset.ImageOrientationPatient = [format_number_as_ds(float(value)) for value in directions]
            dataset.ImagePositionPatient = [format_number_as_ds(float(value)) for value in plane[:, 3]]
            dataset.PixelSpacing = [format_number_as_ds(rows), format_number_as_ds(columns)]
            if 'FrameOfReferenceUID' not in dataset:
                series = str(dataset.SeriesInstanceUID)
                dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[SOFTWARE, 'frame of reference', series])
        if dataset.SOPClassUID == CTImageStorage:
            dataset.KVP = None
        elif dataset.SOPClassUID == MRImageStorage:
            dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = 'RM', 'NONE', ''
            dataset.EchoTime = None
        dataset.ImageType = ['DERIVED', 'SECONDARY', 'OTHER']

    def _derive(self, dataset: Dataset, source: Dataset, frame: int) -> None:
        """What it was computed from, and by what (C.7.6.1, C.12.1.1.5)."""
        dataset.SyntheticData = 'YES'
        dataset.ImageComments = _COMMENT
        dataset.DerivationDescription = f'{_COMMENT} Weights SHA-256 {self.weights_sha256}'
        dataset.DerivationCodeSequence = [_code('TRANSLATION', '99ENHANCEDGAN', 'Translation by a neural network')]
        if source.get('SOPInstanceUID'):
            dataset.SourceImageSequence = [_refer(source, frame)]
        equipment = Dataset()
        equipment.Manufacturer, equipment.ManufacturerModelName = SOFTWARE, SOFTWARE
        equipment.SoftwareVersions = software_version()
        equipment.PurposeOfReferenceCodeSequence = [_code('109100', 'DCM', 'Synthesizing Equipment')]
        dataset.ContributingEquipmentSequence = [equipment]
        for keyword in ('BurnedInAnnotation', 'LossyImageCompression'):  # what nobody knows is not denied
            if source.get(keyword):
                setattr(dataset, keyword, source.get(keyword))


def name_volume(first: Dataset, frame: int, stored: UInt16[np.ndarray, 'height width 1']) -> str:
    """What tells volumes of one series apart: the first image of each, by its UID, or by what it became.

    Args:
      first: header of that image.
      frame: of that file, from 0.
      stored: the result.
    """
    return f'{first.get("SOPInstanceUID") or hashlib.sha256(stored.tobytes()).hexdigest()}/{frame}'


def _refer(source: Dataset, frame: int) -> Dataset:
    """An item that names an image."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.get('SOPClassUID') or SecondaryCaptureImageStorage
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if int(source.get('NumberOfFrames') or 1) > 1:
        reference.ReferencedFrameNumber = frame + 1
    reference.PurposeOfReferenceCodeSequence = [
        _code('121322', 'DCM', 'Source image for image processing operation')
    ]
    return reference


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
