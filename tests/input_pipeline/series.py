"""CT series made here, complete enough to be referred to, with planes in any direction."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

TILTED = (1.0, 0.0, 0.0, 0.0, 0.8, 0.6)  # a row runs to the left, a column to the back and up
SPACING = (0.5, 0.75)  # millimetres between rows and columns


NORMAL = np.cross(TILTED[:3], TILTED[3:])
ORIGIN = (10, -20, 30)


def random_values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 3000, shape).astype(np.int16)


def save_series(folder: Path, values: np.ndarray, places: Sequence[float]) -> list[Path]:
    """One file for each image, in the order given, at `places` millimetres along the normal."""
    series, files = generate_uid(), []
    for number, (image, place) in enumerate(zip(values, places, strict=True)):
        dataset = _create(image, series)
        dataset.SOPClassUID, dataset.InstanceNumber = CTImageStorage, number + 1
        dataset.ImageOrientationPatient = list(TILTED)
        dataset.ImagePositionPatient = _position(place)
        dataset.PixelSpacing, dataset.SliceThickness = list(SPACING), 3
        files.append(_save(folder / f'{number:02d}.dcm', dataset))
    return files


def save_frames(path: Path, values: np.ndarray, places: Sequence[float]) -> Path:
    """One multi-frame file, its frames in the order given."""
    dataset = _create(values, generate_uid())
    dataset.SOPClassUID, dataset.NumberOfFrames = EnhancedCTImageStorage, len(values)
    measures, plane, shared = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(SPACING), 3
    plane.ImageOrientationPatient = list(TILTED)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for place in places:
        position, frame = pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = _position(place)
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    return _save(path, dataset)


def expected_place(place: float, row: int, column: int) -> np.ndarray:
    """Millimetres in LPS+ of a pixel, as the headers define it (DICOM PS3.3, C.7.6.2.1)."""
    first = place * NORMAL + ORIGIN
    return first + np.array(TILTED[:3]) * SPACING[1] * column + np.array(TILTED[3:]) * SPACING[0] * row


def _position(place: float) -> list[float]:
    return [round(float(x), 6) for x in place * NORMAL + ORIGIN]


def _create(values: np.ndarray, series: str) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.SpecificCharacterSet = 'ISO_IR 100'
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(), series
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = '1.2.3', '1.2.3.5'
    dataset.PatientID, dataset.PatientName, dataset.Modality = '4711', 'Müller^Jane', 'CT'
    dataset.SeriesNumber = 7
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, 'MONOCHROME2'
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.add_new('PixelData', 'OW', values.tobytes())
    return dataset


def _save(path: Path, dataset: pydicom.Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path
