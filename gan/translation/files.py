"""From translated slices to files: as the source was, in its geometry, in the units of the target."""

import dataclasses
from collections.abc import Iterable

import nibabel as nib
import numpy as np
from jaxtyping import Float32, Shaped

import input_pipeline
from foundation.export import nifti, pictures
from foundation.export.derived import DicomDerivation, name_volume
from foundation.export.origin import ValueForm
from foundation.software import SOFTWARE
from foundation.training.errors import UserError
from gan.domains import Domain
from input_pipeline.inputs import DicomGrid, Incoming, VolumeGrid, read_header

MEANING = 'Translated by a neural network'
_UNITS = {'.nrrd': '.nrrd', '.nhdr': '.nrrd', '.mha': '.mha', '.mhd': '.mha'}  # header and voxels in one file


@dataclasses.dataclass(frozen=True)
class TranslationWriter:
    """Writes translated images.

    Attributes:
      target: what they were translated to.
      channels: of the images.
      checksum: SHA-256 of the network's weights.
    """

    target: Domain
    channels: int
    checksum: str

    @property
    def form(self) -> ValueForm:
        """What the values of volumes are."""
        return ValueForm(
            channels=self.channels,
            classes=(),
            mask_classes=0,
            dtype=self.target.facts.dtype,
            intensity=self.target.window,
            lowest=self.target.facts.lowest,
            modality=self.target.modality,
            spacing=None,
        )

    def collect(
        self, kind: str, slices: Iterable[Float32[np.ndarray, '_ height width channels']]
    ) -> Shaped[np.ndarray, 'slices height width channels']:
        """All slices in the type in which files of a kind hold them, so that little memory is taken."""
        if kind == 'raster':
            depth = np.dtype('uint8' if self.target.facts.stored == 'uint8' else 'uint16')
            return np.concatenate([input_pipeline.from_unit(own, depth) for own in slices])
        if self.channels != 1:
            raise UserError(f'{self.channels} channels are no values of a volume; only pictures may have colours.')
        low, high = self.target.window
        if kind == 'dicom':
            flipped = -1 if high < low else 1
            return np.concatenate([input_pipeline.from_unit(flipped * own, np.uint16) for own in slices])
        dtype = nifti.choose_dtype(self.form)
        physical = (input_pipeline.to_physical(own, low, high) for own in slices)
        return np.concatenate([(np.rint(own) if dtype.kind == 'i' else own).astype(dtype) for own in physical])

    def encode(
        self,
        incoming: Incoming,
        case: input_pipeline.Case,
        values: Shaped[np.ndarray, 'slices height width channels'],
    ) -> dict[str, bytes]:
        """The bytes of each file, by what is appended to the name of the case."""
        grid = incoming.grid
        if isinstance(grid, DicomGrid):
            return self._encode_dicom(grid, case, values)
        if isinstance(grid, VolumeGrid):
            suffix = _UNITS.get(grid.file.suffix.lower())
            if suffix is not None:
                return {suffix: grid.encode(values[..., 0], suffix)}
            image: nib.Nifti1Image = grid.to_nifti(values[..., 0])
            image.header['descrip'] = f'{SOFTWARE} translated, weights {self.checksum[:16]}'.encode()
            return {'.nii.gz': nifti.encode_nifti(image)}
        return {'.png': pictures.encode_png(values[0])}

    def _encode_dicom(self, grid: DicomGrid, case: input_pipeline.Case, values: np.ndarray) -> dict[str, bytes]:
        low, high = sorted(self.target.window)
        derivation = DicomDerivation(
            modality=self.target.modality,
            is_hounsfield=self.form.is_hounsfield,
            window=(low, high),
            weights_sha256=self.checksum,
            meaning=MEANING,
            target=self.target.name,
        )
        path, frame = grid.frames[case.records[0].key]
        volume = name_volume(read_header(path), frame, values[0])
        contents = {}
        for number, (record, stored) in enumerate(zip(case.records, values, strict=True)):
            path, frame = grid.frames[record.key]
            ending = '.dcm' if len(values) == 1 else f'/{number:04d}.dcm'
            plane = grid.plane(record.key)
            contents[ending] = derivation.encode(stored, read_header(path), frame, plane, number + 1, volume)
        return contents
