"""PNG of 8 or 16 bit; TIFF where images have neither one nor three channels, which PNG cannot hold."""

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile
from jaxtyping import UInt
from PIL import Image

from foundation.export.folder import Mask, Stored
from foundation.export.origin import Origin
from foundation.software import SOFTWARE
from foundation.training.errors import UserError

Picture = UInt[np.ndarray, 'height width *channels']
MASK_COLOURS = np.asarray(
    [
        (230, 60, 50),
        (60, 160, 230),
        (80, 200, 90),
        (240, 180, 40),
        (170, 90, 210),
        (60, 210, 200),
        (240, 120, 180),
        (210, 160, 90),
    ],
    np.uint8,
)  # fmt: skip  (of the classes 1, 2, ..., in turn)
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
            return '.png', self._marked(encode_png(stored))
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
        return '.png', self._marked(encode_mask(mask))

    def _marked(self, content: bytes) -> bytes:
        chunks = _text_chunk('Description', self._text) + _text_chunk('Software', self._software)
        return content[:_HEADER_END] + chunks + content[_HEADER_END:]


def encode_png(image: Picture) -> bytes:
    """Grey, or red, green, blue and perhaps alpha, as PNG of the depth of its type.

    Raises:
      UserError: for a shape or a type that PNG cannot hold.
    """
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[2] if image.ndim == 3 else 1)  # OpenCV: blue first
    done, content = cv2.imencode('.png', image[..., order] if order else image)
    if not done:
        raise UserError(f'an image of shape {image.shape} and type {image.dtype} cannot be encoded as PNG.')
    return content.tobytes()


def encode_mask(mask: Mask) -> bytes:
    """Class ids as PNG with a palette: pixels are the ids, which viewers show in colours, the background black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[1:] = MASK_COLOURS[np.arange(255) % len(MASK_COLOURS)]
    picture, file = Image.fromarray(mask[..., 0]), io.BytesIO()
    picture.putpalette(colours[: max(int(mask.max()), 1) + 1].tobytes())
    picture.save(file, 'png')
    return file.getvalue()


def _text_chunk(keyword: str, text: str) -> bytes:
    """The chunk tEXt (PNG specification, 11.3.4.3): length, type, keyword and text in Latin-1, CRC."""
    body = b'tEXt' + keyword.encode('latin-1') + b'\0' + text.encode('latin-1')
    return struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
