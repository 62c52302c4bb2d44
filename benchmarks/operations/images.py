"""Operations on images: resampling, convolutions and their derivatives, normalizations, pools."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from backbones import warping
from benchmarks.operations.comparison import Operation, draw
from gan import layers, strided

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


def create_operations() -> list[Operation]:
    """All of this kind."""
    groups = (_resamplings, _convolutions, _gradients, _normalizations, _pools)
    return [operation for group in groups for operation in group()]


def _resamplings() -> Iterator[Operation]:
    for shape in ((1, 9, 7, 1), (3, 33, 31, 2), (2, 64, 63, 3)):
        for seed in range(3):
            maps = np.tile(np.eye(3, dtype=np.float32), (shape[0], 1, 1))
            maps[:, :2] += 0.2 * draw(shape[0], 2, 3, seed=seed)
            maps[:, :2, 2] *= 20
            # A point next to the middle of two pixels may fall on either side: linear weights make that harmless.
            yield Operation(f'warp {seed} of {shape}', warping.warp, _warp, (draw(*shape), maps), 2e-5)
        yield Operation(
            f'doubling of {shape}', layers.upsample, lambda x: x.repeat(2, 1).repeat(2, 2), (draw(*shape),)
        )
        even = (shape[0], 2 * shape[1], 2 * shape[2], shape[3])
        yield Operation(f'halving of {even}', layers.downsample, _halve, (draw(*even),))
        for size in ((5, 4), (32, 32), (67, 71)):
            yield Operation(
                f'linear resizing of {shape} to {size}',
                lambda x, size=size: jax.image.resize(x, (len(x), *size, x.shape[3]), 'linear', antialias=False),
                lambda x, size=size: _resize(x, size),
                (draw(*shape),),
                2e-5,
            )


def _warp(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Bilinear, the edge going on, pixel by pixel."""
    _, height, width, _ = images.shape
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) - middle
    points = np.einsum('nij,hwj->nhwi', maps[:, :2, :2], grid) + maps[:, None, None, :2, 2] + middle
    return np.stack([_sample(image, own[..., 1], own[..., 0]) for image, own in zip(images, points, strict=True)])


def _sample(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    y, x = np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    down, across = (y - top)[..., None], (x - left)[..., None]
    upper = image[top, left] * (1 - across) + image[top, right] * across
    return upper * (1 - down) + (image[bottom, left] * (1 - across) + image[bottom, right] * across) * down


def _resize(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, centres of pixels at half numbers."""
    places = [(np.arange(new) + 0.5) * old / new - 0.5 for new, old in zip(size, images.shape[1:3], strict=True)]
    y, x = np.meshgrid(*places, indexing='ij')
    return np.stack([_sample(image, y, x) for image in images])


def _halve(images: np.ndarray) -> np.ndarray:
    return (images[:, ::2, ::2] + images[:, 1::2, ::2] + images[:, ::2, 1::2] + images[:, 1::2, 1::2]) / 4


def _convolutions() -> Iterator[Operation]:
    for size in (1, 2, 3, 5, 7):
        for stride in (1, 2):
            for height, width, inputs, outputs in ((9, 7, 1, 5), (33, 31, 3, 8), (32, 32, 8, 16)):
                yield Operation(
                    f'convolution {size}x{size}/{stride} of {height}x{width}x{inputs} to {outputs}',
                    lambda x, k, stride=stride: _convolve_jax(x, k, stride),
                    lambda x, k, stride=stride: _convolve(x, k, stride),
                    (draw(2, height, width, inputs), draw(size, size, inputs, outputs)),
                )
    for groups in (2, 4, 8):
        yield Operation(
            f'convolution in {groups} groups',
            lambda x, k, groups=groups: jax.lax.conv_general_dilated(
                x, k, (1, 1), 'VALID', dimension_numbers=_DIMENSIONS, feature_group_count=groups
            ),
            lambda x, k, groups=groups: np.concatenate(
                [_convolve(a, b, 1) for a, b in zip(np.split(x, groups, 3), np.split(k, groups, 3), strict=True)],
                3,
            ),
            (draw(2, 17, 15, 16), draw(3, 3, 16 // groups, 24)),
        )
    for size in (2, 3, 4, 5):
        arguments = (draw(2, 10, 14, 3), draw(size, size, 3, 6))
        low = (size - 2) // 2
        padding = ((0, 0), (low, size - 2 - low), (low, size - 2 - low), (0, 0))
        yield Operation(
            f'strided convolution of {size}x{size}',
            strided.strided_conv,
            lambda x, k, padding=padding: _convolve(np.pad(x, padding), k, 2),
            arguments,
        )
        yield Operation(
            f'transposed convolution of {size}x{size}',
            lambda x, k: strided.transposed_conv(x, k.swapaxes(2, 3)),
            _transpose,
            (draw(2, 5, 7, 6), arguments[1]),
        )


def _convolve_jax(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), 'VALID', dimension_numbers=_DIMENSIONS)


def _convolve(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Without padding, tap by tap."""
    size = kernel.shape[0]
    height, width = ((length - size) // stride + 1 for length in x.shape[1:3])
    total = np.zeros((len(x), height, width, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            total += (
                x[:, i : i + stride * height : stride, j : j + stride * width : stride][:, :height, :width]
                @ kernel[i, j]
            )
    return total


def _transpose(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Every input pixel adds its kernel to the output, of twice the size, cut off at the edges."""
    size, low = kernel.shape[0], (kernel.shape[0] - 2) // 2
    batch, height, width, _ = x.shape
    total = np.zeros((batch, 2 * height + size, 2 * width + size, kernel.shape[2]))
    for i in range(size):
        for j in range(size):
            total[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += x @ kernel[i, j].T
    return total[:, low : low + 2 * height, low : low + 2 * width]


def _gradients() -> Iterator[Operation]:
    """The derivatives of convolutions by their kernel and by their input."""
    for size, stride in ((1, 1), (3, 1), (3, 2), (5, 2), (7, 2)):
        for height, width, inputs, outputs in ((15, 13, 2, 3), (33, 31, 3, 8)):
            x, kernel = draw(2, height, width, inputs), draw(size, size, inputs, outputs)
            out = _convolve(x, kernel, stride).shape
            name = f'{size}x{size}/{stride} of {height}x{width}x{inputs} to {outputs}'
            yield Operation(
                f'gradient by the kernel of {name}',
                lambda x, k, g, s=stride: jax.grad(lambda k: jnp.sum(_convolve_jax(x, k, s) * g))(k),
                lambda x, k, g, s=stride: _kernel_gradient(x, k.shape, g, s),
                (x, kernel, draw(*out, seed=1)),
            )
            yield Operation(
                f'gradient by the input of {name}',
                lambda x, k, g, s=stride: jax.grad(lambda x: jnp.sum(_convolve_jax(x, k, s) * g))(x),
                lambda x, k, g, s=stride: _input_gradient(x.shape, k, g, s),
                (x, kernel, draw(*out, seed=1)),
            )


def _kernel_gradient(x: np.ndarray, shape: tuple[int, ...], gradient: np.ndarray, stride: int) -> np.ndarray:
    total, (height, width) = np.zeros(shape), gradient.shape[1:3]
    for i in range(shape[0]):
        for j in range(shape[1]):
            seen = x[:, i : i + stride * height : stride, j : j + stride * width : stride][:, :height, :width]
            total[i, j] = np.einsum('nhwi,nhwo->io', seen, gradient)
    return total


def _input_gradient(shape: tuple[int, ...], kernel: np.ndarray, gradient: np.ndarray, stride: int) -> np.ndarray:
    total = np.zeros((shape[0], shape[1] + stride, shape[2] + stride, shape[3]))
    height, width = gradient.shape[1:3]
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            total[:, i : i + stride * height : stride, j : j + stride * width : stride] += (
                gradient @ kernel[i, j].T
            )
    return total[:, : shape[1], : shape[2]]


def _normalizations() -> Iterator[Operation]:
    for shape in ((3, 9, 7, 5), (2, 33, 31, 16), (8, 4, 4, 130)):
        for name, axes in (('batch', (0, 1, 2)), ('instance', (1, 2)), ('layer', (1, 2, 3)), ('pixel', (3,))):
            yield Operation(
                f'{name} normalization of {shape}',
                lambda x, axes=axes: (
                    (x - x.mean(axes, keepdims=True)) * jax.lax.rsqrt(x.var(axes, keepdims=True) + 1e-5)
                ),
                lambda x, axes=axes: (
                    (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
                ),
                (draw(*shape) + 0.5,),
                2e-5,
            )
        yield Operation(
            f'PGGAN pixel normalization of {shape}',
            layers.pixel_norm,
            lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8),
            (draw(*shape),),
        )
    for batch in (4, 8, 12):
        x = draw(batch, 4, 4, 33)
        yield Operation(f'deviation in groups of {batch}', lambda x: layers.minibatch_stddev(x, 4), _stddev, (x,))


def _stddev(x: np.ndarray) -> np.ndarray:
    groups = np.split(x, len(x) // 4)
    values = [np.sqrt(group.var(axis=0) + 1e-8).mean() for group in groups]
    statistic = np.repeat(values, 4)[:, None, None, None]
    return np.concatenate([x, np.broadcast_to(statistic, (*x.shape[:3], 1))], axis=-1)


def _pools() -> Iterator[Operation]:
    for shape in ((1, 9, 7, 3), (2, 32, 34, 5), (3, 33, 31, 1)):
        for size, stride in ((2, 2), (3, 2), (3, 1)):
            yield Operation(
                f'largest of {size}x{size}/{stride} of {shape}',
                lambda x, size=size, stride=stride: jax.lax.reduce_window(
                    x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, stride, stride, 1), 'VALID'
                ),
                lambda x, size=size, stride=stride: np.lib.stride_tricks.sliding_window_view(
                    x, (size, size), (1, 2)
                )[:, ::stride, ::stride].max(axis=(-2, -1)),
                (draw(*shape),),
            )
