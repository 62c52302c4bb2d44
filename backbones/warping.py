"""Affine maps of images: one bilinear resampling, whatever number of maps is composed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Maps of homogeneous points (x, y, 1) in pixels, the origin at the middle of the image, x to the right and y down.
AffineMaps = Float[Array, 'batch 3 3']
Entry = Float[Array, 'batch'] | float


def affine_maps(xx: Entry, xy: Entry, x: Entry, yx: Entry, yy: Entry, y: Entry) -> AffineMaps:
    """(x, y) -> (xx x + xy y + x, yx x + yy y + y); at least one entry holds a number for every image."""
    entries = jnp.broadcast_arrays(xx, xy, x, yx, yy, y, 0.0, 0.0, 1.0)
    return jnp.stack(entries, axis=-1).reshape(-1, 3, 3)


def compose(outer: AffineMaps, inner: AffineMaps) -> AffineMaps:
    """The map of a point by `inner`, then by `outer`."""
    # The usual precision of accelerators, 8 to 11 bits, would be off by half a pixel in a large image.
    return jnp.matmul(outer, inner, precision=jax.lax.Precision.HIGHEST)


def warp(
    images: Float[Array, 'batch height width channel'], sources: AffineMaps
) -> Float[Array, 'batch height width channel']:
    """Images whose pixel at q is the image's value at `sources` q, linear between pixels.

    Outside, the nearest pixel of the edge goes on: black stays black around a scan, and an image that fills its
    frame, or one on a white ground, gets no bars of a foreign grey.
    """
    _, height, width, _ = images.shape
    x, y = _source_points(sources, height, width)
    # The last pixel counts as the right (lower) one of a pair, which all pixels but that of a single column have.
    left = jnp.minimum(jnp.floor(x).astype(jnp.int32), max(width - 2, 0))
    top = jnp.minimum(jnp.floor(y).astype(jnp.int32), max(height - 2, 0))
    right, bottom = left + min(1, width - 1), top + min(1, height - 1)
    right_share, bottom_share = (x - left)[..., None], (y - top)[..., None]

    def row(line: Int[Array, 'batch height width']) -> Float[Array, 'batch height width channel']:
        return _pick(images, line, left) * (1 - right_share) + _pick(images, line, right) * right_share

    return row(top) * (1 - bottom_share) + row(bottom) * bottom_share


def _source_points(
    sources: AffineMaps, height: int, width: int
) -> tuple[Float[Array, 'batch height width'], Float[Array, 'batch height width']]:
    """Column and row, within the image, that every pixel is taken from."""
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x = jnp.arange(width) - middle_x
    y = (jnp.arange(height) - middle_y)[:, None]
    entry = sources[:, :, :, None, None]
    source_x = entry[:, 0, 0] * x + entry[:, 0, 1] * y + entry[:, 0, 2] + middle_x
    source_y = entry[:, 1, 0] * x + entry[:, 1, 1] * y + entry[:, 1, 2] + middle_y
    return jnp.clip(source_x, 0, width - 1), jnp.clip(source_y, 0, height - 1)


def _pick(
    images: Float[Array, 'batch height width channel'],
    lines: Int[Array, 'batch height width'],
    columns: Int[Array, 'batch height width'],
) -> Float[Array, 'batch height width channel']:
    """The pixels at these places of each image."""
    batch, height, width, channels = images.shape
    pixels = images.reshape(batch, height * width, channels)
    return jax.vmap(lambda points, places: points.at[places].get(mode='promise_in_bounds'))(
        pixels, lines * width + columns
    )
