"""Which files can hold a signature of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Kind = Literal['image/png', 'image/tiff', 'image/jpeg', 'dicom']
DICOM: Kind = 'dicom'
# First bytes of pictures.
_MAGIC: Mapping[bytes, Kind] = {
    b'\x89PNG\r\n\x1a\n': 'image/png',
    b'II*\0': 'image/tiff',
    b'MM\0*': 'image/tiff',
    b'\xff\xd8\xff': 'image/jpeg',
}
# So that a file whose first bytes were damaged counts, too.
_ENDINGS: Mapping[str, Kind] = {
    '.png': 'image/png',
    '.tif': 'image/tiff',
    '.tiff': 'image/tiff',
    '.jpg': 'image/jpeg',
    '.jpeg': 'image/jpeg',
    '.dcm': DICOM,
}


def find_kinds(path: Path) -> set[Kind]:
    """What a file begins like, or else is named like; one may be of two kinds, and most are of none."""
    try:
        with path.open('rb') as file:
            start = file.read(132)
    except OSError:
        start = b''
    kinds = {kind for magic, kind in _MAGIC.items() if start.startswith(magic)}
    if start[128:] == b'DICM':
        kinds.add(DICOM)
    named = _ENDINGS.get(path.suffix.lower())
    return kinds or ({named} if named else set())
