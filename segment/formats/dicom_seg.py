"""DICOM Segmentation objects (PS3.3, A.51): one binary segment a class, with references to the source images."""

import io
import warnings
from collections.abc import Sequence

import highdicom
import numpy as np
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from jaxtyping import UInt8
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from foundation.software import SOFTWARE, software_version
from foundation.training.errors import UserError
from input_pipeline.errors import one_line
from input_pipeline.inputs import DicomGrid, read_header
from segment.formats.prediction import Prediction

# A data set says what its classes are called, not which terms of an ontology they are: the category is one that
# holds for any region, and the type is a code of our own whose meaning is the name.
_CATEGORY = Code('309825002', 'SCT', 'Spatial and Relational Concept')
_OWN_CODES = '99ENHANCEDGAN'
_LONGEST = 64  # characters of a label and of a code's meaning (LO)
# What a source may lack, though its object needs it; empty where unknown (type 2).
_TYPE_2 = (
    'PatientID', 'PatientName', 'PatientBirthDate', 'PatientSex', 'AccessionNumber', 'StudyID', 'StudyDate',
    'StudyTime',
)  # fmt: skip


def encode_dicom_seg(prediction: Prediction) -> dict[str, bytes]:
    """One object for the series; see `files.ENCODERS`.

    Raises:
      UserError: when the images lack what the object must refer to.
    """
    sources, masks = _sources_and_masks(prediction)
    with warnings.catch_warnings():  # of breaches of the standard in the source that pydicom copes with
        warnings.simplefilter('ignore', UserWarning)
        try:
            segmentation = _create(sources, masks, prediction)
            file = io.BytesIO()
            segmentation.save_as(file)
        except Exception as error:  # highdicom and pydicom raise many kinds for what a source lacks
            raise UserError(
                f'DICOM SEG cannot refer to it ({one_line(error)}); use --format=nifti or png.'
            ) from error
    return {'.dcm': file.getvalue()}


def _sources_and_masks(
    prediction: Prediction,
) -> tuple[list[pydicom.Dataset], UInt8[np.ndarray, 'frames height width']]:
    """Headers of the files, and the masks in the order of the files and of the frames in them."""
    grid, records = prediction.incoming.grid, prediction.case.records
    if not isinstance(grid, DicomGrid):
        raise UserError('DICOM SEG refers to DICOM images, and this is none; use --format=auto.')
    places = [grid.frames[record.key] for record in records]
    files = grid.files_of([record.key for record in records])
    order = sorted(range(len(places)), key=lambda index: (files.index(places[index][0]), places[index][1]))
    sources = [read_header(path) for path in files]
    for source in sources:
        for keyword in _TYPE_2:
            if keyword not in source:
                setattr(source, keyword, '')
    return sources, prediction.masks[order]


def _create(
    sources: Sequence[pydicom.Dataset],
    masks: UInt8[np.ndarray, 'frames height width'],
    prediction: Prediction,
) -> Segmentation:
    return Segmentation(
        source_images=sources,
        pixel_array=masks,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_describe_segments(prediction),
        series_instance_uid=highdicom.UID(),
        series_number=1000 + int(sources[0].get('SeriesNumber') or 0) % 1000,  # apart from those of a scanner
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=SOFTWARE,
        manufacturer_model_name='segment.predict',
        software_versions=software_version(),
        device_serial_number=prediction.checksum,
        content_label='SEGMENTATION',
        # Frames without any class are left out, but an object needs one frame.
        omit_empty_frames=bool(masks.any()),
        content_description='Masks predicted by a neural network; not for diagnosis',
        series_description='Predicted masks',
        specific_character_set='ISO_IR 192',
    )


def _describe_segments(prediction: Prediction) -> list[SegmentDescription]:
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f'{SOFTWARE} U-Net',
        family=codes.cid7162.ArtificialIntelligence,
        version=software_version(),
        source=SOFTWARE,
        parameters={'weights SHA-256': prediction.checksum},
    )
    return [
        SegmentDescription(
            segment_number=number,
            segment_label=name[:_LONGEST],
            segmented_property_category=_CATEGORY,
            segmented_property_type=Code(f'CLASS_{number}', _OWN_CODES, name[:_LONGEST]),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(prediction.classes, 1)
    ]
