"""From a prediction to files: which format, and never half a file under its name."""

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from jaxtyping import UInt8
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from foundation.export import nifti, pictures
from foundation.files import write_file
from foundation.software import SOFTWARE, software_version
from foundation.training.errors import UserError
from input_pipeline import DataError
from input_pipeline.errors import one_line
from input_pipeline.inputs import DicomGrid, Kind, VolumeGrid, read_header
from segment.formats.overlays import draw_overlay
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


def encode_nifti(prediction: Prediction) -> dict[str, bytes]:
    """One volume of unsigned bytes; see `files.ENCODERS`.

    Raises:
      UserError: for a DICOM series that is no even stack of slices in a known place.
    """
    grid = prediction.incoming.grid
    image = grid.to_nifti(prediction.masks) if isinstance(grid, VolumeGrid) else _on_series(prediction)
    header = image.header
    header.set_intent(_LABEL)
    header['descrip'] = f'{SOFTWARE} mask, weights {prediction.checksum[:16]}'.encode()
    return {'.nii.gz': nifti.encode_nifti(image)}


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
    return {suffix: grid.encode(prediction.masks, suffix)}


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
