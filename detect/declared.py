"""What a file says of itself: that it is synthetic. Apart from what a network thinks of its pixels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.training.errors import UserError
from foundation.training.manifest import MANIFEST_FILE, read_manifest
from input_pipeline.incoming import Incoming, read_header

_FOLDERS_UP = 2  # images lie in a folder of the one that has the manifest


def find_declaration(incoming: Incoming, checksums: Mapping[Path, str]) -> dict[str, Any] | None:
    """Who says that it is synthetic: its DICOM header, or the manifest of the folder it lies in; None for nobody.

    A manifest counts only for files whose checksum it gives. Without a declaration an image may be synthetic all
    the same.

    Args:
      incoming: a picture, series or volume.
      checksums: SHA-256 of its files.
    """
    for file in checksums if incoming.kind == 'dicom' else ():
        if read_header(file).get('SyntheticData') == 'YES':
            return {'by': 'DICOM header', 'file': file.name, 'element': 'SyntheticData (0008,001C) = YES'}
    for file, checksum in checksums.items():
        found = _find_in_manifest(file, checksum)
        if found is not None:
            return found
    return None


def _find_in_manifest(file: Path, checksum: str) -> dict[str, Any] | None:
    for folder in list(file.absolute().parents)[:_FOLDERS_UP]:
        if not (folder / MANIFEST_FILE).is_file():
            continue
        try:
            manifest = read_manifest(folder)
        except UserError:  # an altered manifest declares nothing
            continue
        if any(entry['sha256'] == checksum for entry in manifest['files']):
            model = manifest['model']['weights_sha256']
            return {'by': 'manifest', 'file': str(folder / MANIFEST_FILE), 'generator_sha256': model}
    return None
