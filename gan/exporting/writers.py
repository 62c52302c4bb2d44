"""The formats that images are written in."""

from collections.abc import Callable
from pathlib import Path

from gan.exporting.dataset import DatasetWriter
from gan.exporting.dicom import DicomEncoder
from gan.exporting.folder import Encoder, FolderWriter, Writer
from gan.exporting.nifti import NiftiEncoder
from gan.exporting.origin import Origin
from gan.exporting.png import PngEncoder

DATASET = 'tfds'
_ENCODERS: dict[str, Callable[[Origin], Encoder]] = {
    'png': PngEncoder,
    'nifti': NiftiEncoder,
    'dicom': DicomEncoder,
}
FORMATS = (*_ENCODERS, DATASET)


def create_writer(image_format: str, folder: Path, origin: Origin, *, name: str, licence: str) -> Writer:
    """A writer of one of `FORMATS` into an empty folder.

    Args:
      image_format: of the files.
      folder: empty.
      origin: of the images.
      name: that the folder gets when it is whole.
      licence: of the images; '' where it is not stated.

    Raises:
      UserError, DataError: when the format cannot hold these images.
    """
    if image_format == DATASET:
        return DatasetWriter(folder, origin, name, licence)
    return FolderWriter(folder, origin, _ENCODERS[image_format](origin))
