"""The formats that images are written in."""

from collections.abc import Callable
from pathlib import Path

from gan.formats.dataset import DatasetWriter
from gan.formats.dicom import DicomEncoder
from gan.formats.folder import FolderWriter, ImageEncoder, Writer
from gan.formats.nifti import NiftiEncoder
from gan.formats.origin import Origin
from gan.formats.png import PngEncoder

DATASET = 'tfds'
_ENCODERS: dict[str, Callable[[Origin], ImageEncoder]] = {
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
