"""What was found: one picture, one series, or one volume, not read yet."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from input_pipeline.cases import Case
from input_pipeline.incoming.grids import DicomGrid, NiftiGrid

Kind = Literal['raster', 'dicom', 'nifti']


@dataclasses.dataclass(frozen=True, slots=True)
class Incoming:
    """One picture, one DICOM series or one NIfTI volume.

    Attributes:
      kind: of the files.
      name: for what is written about it, without extension, with `/` between folders; no two have the same.
      source: the file, or the name of a series of several, as refusals name it.
      files: all its files; of a series in the order of its slices.
      grid: where its slices lie; None for pictures.
      load: reads the pixels as `input_pipeline.prepare` does, but constant slices are not left out. A file of a
        series that cannot be read is refused, and its slices are missing. Raises DataError when nothing is left.
    """

    kind: Kind
    name: str
    source: str
    files: tuple[Path, ...]
    grid: NiftiGrid | DicomGrid | None
    load: Callable[[], Case]

    def files_of(self, case: Case) -> list[Path]:
        """The files that a loaded case was read from: all but those that were refused meanwhile."""
        if not isinstance(self.grid, DicomGrid):
            return list(self.files)
        return self.grid.files_of([record.key for record in case.records])
