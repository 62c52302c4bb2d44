"""A TFDS data set of generated images, which everything that reads data sets can read."""

import functools
import shutil
from pathlib import Path

import numpy as np

import input_pipeline
from gan.formats.folder import Image, Mask, Stored
from gan.formats.origin import SOFTWARE, Origin

_SCRATCH = '.scratch'


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
        self._dtype = np.dtype(origin.form.dtype)
        self._images: list[tuple[int, str]] = []
        (folder / _SCRATCH).mkdir()

    def write(self, image: Image, mask: Mask, label: str, number: int) -> None:
        """See `Writer`."""
        np.save(self._path('image', number), input_pipeline.from_unit(image, self._dtype))
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
