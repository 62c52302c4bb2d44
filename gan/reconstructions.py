"""Real images as an autoencoder draws them again, as a folder that `detect.prepare` takes: fakes that share the
content of real images, so that nothing but the decoder's trace tells them apart.
"""

import csv
import io
from pathlib import Path

import numpy as np
from jaxtyping import Float

import input_pipeline
from foundation.export.pictures import encode_png
from foundation.files import write_file
from foundation.training.errors import UserError


class ReconstructionWriter:
    """Writes PNG files of 8 bits, and an index of whose they are.

    Args:
      folder: empty.
      images: the split that is drawn again.
      split: its name.
    """

    def __init__(self, folder: Path, images: input_pipeline.ImageData, split: str) -> None:
        self._folder, self._images, self._split = folder, images, split
        self._count = 0

    def add(self, drawn: Float[np.ndarray, 'image height width channel']) -> None:
        """The next images in stored order, in [-1, 1]; mask channels are left out."""
        shown = drawn[..., : self._images.channels]
        for picture in input_pipeline.from_unit(shown, np.uint8):
            write_file(self._folder / _name(self._count), encode_png(picture))
            self._count += 1

    def finish(self) -> None:
        """Writes the index.

        Raises:
          UserError: when nothing was drawn.
        """
        if not self._count:
            raise UserError('This family draws no reconstructions; train an aae or a bigan.')
        records, table = self._images.records, io.StringIO()
        rows = zip(records.patients, records.labels, records.modalities, strict=True)
        writer = csv.writer(table, lineterminator='\n')
        writer.writerow(['image', 'patient', 'split', 'label', 'modality'])
        for number, (patient, label, modality) in enumerate(rows):
            writer.writerow([_name(number), f'{self._images.name}/{patient}', self._split, label, modality])
        write_file(self._folder / 'index.csv', table.getvalue().encode('utf-8', 'surrogateescape'))


def _name(number: int) -> str:
    return f'images/{number:06d}.png'
