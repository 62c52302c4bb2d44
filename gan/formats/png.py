"""PNG of 8 or 16 bit; TIFF where images have neither one nor three channels, which PNG cannot hold."""

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile

from foundation.training.errors import UserError
from gan.formats.folder import Mask, Stored
from gan.formats.origin import SOFTWARE, Origin

_HEADER_END = 8 + 25  # the signature, and the chunk IHDR (PNG specification, 5.2 and 11.2.2)


class PngEncoder:
    """Encodes pictures that say in a text of their own that they are synthetic.

    Args:
      origin: of the images.
    """

    def __init__(self, origin: Origin) -> None:
        self._text = f'SYNTHETIC image, not of a person; model weights SHA-256 {origin.model.weights_sha256}'
        self._software = f'{SOFTWARE} {origin.version}'

    def image(self, stored: Stored, label: str, number: int) -> tuple[str, bytes]:
        """See `Encoder`."""
        if stored.shape[-1] in (1, 3):
            return '.png', self._marked(_encode(stored))
        file = io.BytesIO()
        tifffile.imwrite(
            file,
            np.moveaxis(stored, -1, 0),
            photometric='minisblack',
            description=self._text,
            software=self._software,
            metadata=None,
        )
        return '.tif', file.getvalue()

    def mask(self, mask: Mask) -> tuple[str, bytes]:
        """See `Encoder`."""
        return '.png', self._marked(_encode(mask))

    def _marked(self, content: bytes) -> bytes:
        chunks = _text_chunk('Description', self._text) + _text_chunk('Software', self._software)
        return content[:_HEADER_END] + chunks + content[_HEADER_END:]


def _encode(image: Stored) -> bytes:
    done, content = cv2.imencode('.png', image[..., ::-1])  # OpenCV writes blue first
    if not done:
        raise UserError(f'an image of shape {image.shape} and type {image.dtype} could not be encoded as PNG.')
    return content.tobytes()


def _text_chunk(keyword: str, text: str) -> bytes:
    """The chunk tEXt (PNG specification, 11.3.4.3): length, type, keyword and text in Latin-1, CRC."""
    body = b'tEXt' + keyword.encode('latin-1') + b'\0' + text.encode('latin-1')
    return struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
