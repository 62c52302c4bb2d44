"""Between stored integers, the [-1, 1] that networks see, and physical units.

Every function takes NumPy and JAX arrays (also under `jit`) and gives the same bits for both, so that a
batch built on the host equals one gathered on the device.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Float32, UInt, UInt8


def to_unit(stored: UInt[Any, '*shape']) -> Float32[Any, '*shape']:
    """Maps 0 to -1 and the largest value of the type to 1.

    The only rounding is the last product (2 v - largest is exact in float32), so a compiler that fuses
    multiplications and additions cannot change the result.
    """
    largest = np.iinfo(stored.dtype).max
    centred = 2 * stored.astype(np.float32) - np.float32(largest)
    return centred * np.float32(1 / largest)


def from_unit(values: Float[Any, '*shape'], dtype: np.dtype | type) -> UInt[Any, '*shape']:
    """The inverse of `to_unit`, exact for every stored value; values outside [-1, 1] are clipped."""
    namespace = values.__array_namespace__()
    largest = np.iinfo(dtype).max
    clipped = namespace.clip(values.astype(np.float32), -1, 1)
    return namespace.rint((clipped + 1) * np.float32(largest / 2)).astype(dtype)


def to_physical(values: Float[Any, '*shape'], low: float, high: float) -> Float[Any, '*shape']:
    """Maps [-1, 1] to physical units, where -1 means `low` and 1 means `high`."""
    return low + (values + 1) * ((high - low) / 2)


def mask_channels(ids: UInt8[Any, '*shape 1'], mask_classes: int) -> UInt8[Any, '*shape mask_classes']:
    """One channel for each foreground class 1..mask_classes: 255 where a pixel has the class, else 0."""
    namespace = ids.__array_namespace__()
    return (ids == namespace.arange(1, mask_classes + 1)).astype(np.uint8) * np.uint8(255)


def sloping_mask_channels(
    ids: UInt8[np.ndarray, 'height width 1'], mask_classes: int, slope: float
) -> UInt8[np.ndarray, 'height width mask_classes']:
    """As `mask_channels`, by the signed distance to the contour, which lies half way between two pixels.

    A pixel has more than half of 255 exactly where `mask_channels` is 255.

    Args:
      ids: class ids.
      mask_classes: foreground classes.
      slope: pixels from the contour at which a channel reaches 255 inside, and 0 outside.
    """
    channels = []
    for number in range(1, mask_classes + 1):
        inside = ids[..., 0] == number
        if not inside.any() or inside.all():
            channels.append(np.full(inside.shape, 255 * inside.any()))
            continue
        distances = scipy.ndimage.distance_transform_edt(inside) - scipy.ndimage.distance_transform_edt(~inside)
        signed = distances - np.where(inside, 0.5, -0.5)
        channels.append(np.rint(127.5 + 127.5 * np.clip(signed / slope, -1, 1)))
    return np.stack(channels, axis=-1).astype(np.uint8)


def join_masks(
    image: Float[Any, '*shape channels'], ids: UInt8[Any, '*shape 1'], mask_classes: int
) -> Float[Any, '*shape joined']:
    """Appends one channel of {-1, 1} for each foreground class to an image in [-1, 1]."""
    namespace = image.__array_namespace__()
    masks = to_unit(mask_channels(ids, mask_classes)).astype(image.dtype)
    return namespace.concatenate([image, masks], axis=-1)


def split_masks(
    joined: Float[Any, '*shape joined'], channels: int, mask_classes: int
) -> tuple[Float[Any, '*shape channels'], UInt8[Any, '*shape 1']]:
    """Undoes `join_masks`, also for a network's output.

    A pixel belongs to the class of its largest mask channel, and to the background (0) where no mask
    channel is above 0; without mask channels all is background.

    Raises:
      ValueError: when the array has not `channels + mask_classes` channels.
    """
    if joined.shape[-1] != channels + mask_classes:
        raise ValueError(f'{joined.shape[-1]} channels are not {channels} of image and {mask_classes} of masks')
    namespace = joined.__array_namespace__()
    if mask_classes == 0:
        return joined, namespace.zeros((*joined.shape[:-1], 1), np.uint8)
    masks = joined[..., channels:]
    ids = namespace.where(masks.max(axis=-1) > 0, masks.argmax(axis=-1) + 1, 0)
    return joined[..., :channels], ids.astype(np.uint8)[..., None]


def _flip(images: UInt[Any, 'batch *shape'], flip: Any, axis: int) -> UInt[Any, 'batch *shape']:
    namespace = images.__array_namespace__()
    return namespace.where(flip[:, None, None, None], namespace.flip(images, axis=axis), images)


def unpack(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Turns gathered rows into a batch; pure, and meant to run under `jit` where rows lie on a device.

    Args:
      rows: `image` uint8 or uint16 (batch, height, width, channels), `label` int32 (batch,),
        `flip_horizontal` and `flip_vertical` bool (batch,), and where masks are modelled `mask` uint8
        (batch, height, width, mask classes), 255 where a pixel is certainly of the class. Of sampled batches
        also `valid` and `noise_key`, which stay as they are; see `PoissonSampling`.

    Returns:
      `image` float32 (batch, height, width, channels + mask classes) in [-1, 1], and `label`.
    """
    joined = []
    for field in ('image', 'mask'):
        if field in rows:
            flipped = _flip(rows[field], rows['flip_horizontal'], axis=2)
            joined.append(to_unit(_flip(flipped, rows['flip_vertical'], axis=1)))
    namespace = joined[0].__array_namespace__()
    kept = {name: rows[name] for name in ('label', 'valid', 'noise_key') if name in rows}
    return {'image': namespace.concatenate(joined, axis=-1), **kept}
