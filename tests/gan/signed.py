"""Small releases, as gan.generate writes them, but of noise."""

from pathlib import Path

from foundation.export.manifest import write_manifest
from gan.generation.writers import create_writer
from tests.foundation.export.manifests import MANIFEST
from tests.gan.generation.origins import make_masks, make_origin, make_stored


def write_release(folder: Path, image_format: str, count: int = 3, **form) -> Path:
    """A release that nobody signed."""
    folder.mkdir()
    origin = make_origin(**form)
    writer = create_writer(image_format, folder, origin, name=folder.name, licence='', signer=None)
    for number, (stored, mask) in enumerate(zip(make_stored(origin, count), make_masks(count), strict=True)):
        writer.write(stored, mask, '', number)
    writer.finish()
    write_manifest(folder, MANIFEST | {'count': count, 'format': image_format})
    return folder


def flip(path: Path, place: int) -> None:
    """Changes a bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
