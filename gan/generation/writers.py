"""The formats that generated images are written in, a TFDS data set among them."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import input_pipeline
from foundation.export.dicom import DicomEncoder
from foundation.export.folder import FolderWriter, ImageEncoder, Mask, Stored, Writer
from foundation.export.nifti import NiftiEncoder
from foundation.export.origin import Origin
from foundation.export.pictures import PngEncoder
from foundation.software import SOFTWARE
from gan.generation.signatures import SignedEncoder

if TYPE_CHECKING:  # its packages are loaded only where something is signed
    from foundation.signing.files import FileSigner

DATASET = 'tfds'
_ENCODERS: dict[str, Callable[[Origin], ImageEncoder]] = {
    'png': PngEncoder,
    'nifti': NiftiEncoder,
    'dicom': DicomEncoder,
}
FORMATS = (*_ENCODERS, DATASET)
_SCRATCH = '.scratch'


def create_writer(
    image_format: str, folder: Path, origin: Origin, *, name: str, licence: str, signer: 'FileSigner | None'
) -> Writer:
    """A writer of one of `FORMATS` into an empty folder.

    Args:
      image_format: of the files.
      folder: empty.
      origin: of the images.
      name: that the folder gets when it is whole.
      licence: of the images; '' where it is not stated.
      signer: of each file that can hold a signature, which those of a data set cannot; None for none.

    Raises:
      UserError, DataError: when the format cannot hold these images.
    """
    if image_format == DATASET:
        return DatasetWriter(folder, origin, name, licence)
    encoder = _ENCODERS[image_format](origin)
    return FolderWriter(folder, origin, SignedEncoder(encoder, signer) if signer else encoder)


class DatasetWriter:
    """Keeps images as arrays on disk while they come, and makes a data set of them at the end.

    The data set is `folder` under the name that it gets when it is whole, in data_dir/name/version.

    Args:
      folder: empty.
      origin: of the images.
      name: of the data set.
      licence: of the images; '' where it is not stated.

    Raises:
      DataError: when a data set cannot have this name.
    """

    def __init__(self, folder: Path, origin: Origin, name: str, licence: str) -> None:
        self._folder, self._origin, self._licence = folder, origin, licence
        self._target = input_pipeline.Target(name, folder / _SCRATCH, overwrite=False)
        self._images: list[tuple[int, str]] = []
        (folder / _SCRATCH).mkdir()

    def write(self, stored: Stored, mask: Mask, label: str, number: int) -> None:
        """See `Writer`."""
        np.save(self._path('image', number), stored)
        if self._origin.form.mask_classes:
            np.save(self._path('mask', number), mask)
        self._images.append((number, label))

    def finish(self) -> None:
        """Writes the data set.

        Raises:
          DataError: for fewer than two images.
        """
        form, model = self._origin.form, self._origin.model
        generated = input_pipeline.Generated(
            dtype='uint8' if form.dtype == 'uint8' else 'uint16',
            channels=form.channels,
            modality=form.modality,
            intensity=form.intensity,
            spacing=form.spacing,
            licence=self._licence,
            recorded={
                'source': f'{SOFTWARE} {self._origin.version}',
                'synthetic': 'yes',
                'weights_sha256': model.weights_sha256,
                'seed': self._origin.seed,
            },
        )
        images = [
            (f'synthetic-{number:06d}', label or None, functools.partial(self._read, number))
            for number, label in self._images
        ]
        written = input_pipeline.write_generated(images, self._target, generated)
        written.rename(self._folder / written.name)
        shutil.rmtree(self._folder / _SCRATCH)

    def _read(self, number: int) -> tuple[Stored, Mask | None]:
        mask = np.load(self._path('mask', number)) if self._origin.form.mask_classes else None
        return np.load(self._path('image', number)), mask

    def _path(self, kind: str, number: int) -> Path:
        return self._folder / _SCRATCH / f'{kind}-{number:06d}.npy'
