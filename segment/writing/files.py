"""From a prediction to files: which format, and never half a file under its name."""

import os
from collections.abc import Callable
from pathlib import Path

from foundation.training.errors import UserError
from input_pipeline.incoming import Kind
from segment.writing.dicom_seg import encode_dicom_seg
from segment.writing.nifti import encode_nifti
from segment.writing.overlays import draw_overlay
from segment.writing.png import encode_png
from segment.writing.prediction import Prediction

# Each gives the bytes of its files, by what is appended to the name of the case.
ENCODERS: dict[str, Callable[[Prediction], dict[str, bytes]]] = {
    'png': encode_png,
    'nifti': encode_nifti,
    'dicom_seg': encode_dicom_seg,
}
FORMATS = ('auto', *ENCODERS)
# What each kind of file may become, its own format first.
_ALLOWED: dict[str, tuple[str, ...]] = {
    'raster': ('png',),
    'nifti': ('nifti', 'png'),
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


def write_masks(prediction: Prediction, format_name: str, out: Path) -> str:
    """Writes masks/NAME and what the format appends; returns the file, or the folder of slices, relative to `out`.

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
    return name if len(contents) > 1 else name + next(iter(contents))


def write_overlay(prediction: Prediction, out: Path) -> str:
    """Writes overlays/NAME.png and returns that name."""
    name = f'overlays/{prediction.incoming.name}.png'
    write_file(out / name, draw_overlay(prediction))
    return name


def write_file(path: Path, content: bytes) -> None:
    """Writes a file atomically, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
