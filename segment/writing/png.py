"""PNG masks of 8 bits whose grey values are class ids, upright as the images are shown."""

import cv2
import numpy as np
from jaxtyping import UInt8

from foundation.training.errors import UserError
from segment.writing.prediction import Prediction


def encode_png(prediction: Prediction) -> dict[str, bytes]:
    """A file for a picture or a single slice; for volumes a folder with a file for each slice, from 0000.

    See `files.ENCODERS`.
    """
    masks = prediction.masks
    if len(masks) == 1:
        return {'.png': encode_picture(masks[0])}
    return {f'/{number:04d}.png': encode_picture(mask) for number, mask in enumerate(masks)}


def encode_picture(picture: UInt8[np.ndarray, 'height width *channels']) -> bytes:
    """Grey, or red, green and blue, as PNG."""
    done, content = cv2.imencode('.png', picture[..., ::-1] if picture.ndim == 3 else picture)
    if not done:
        raise UserError(f'a picture of shape {picture.shape} cannot be encoded as PNG.')
    return content.tobytes()
