"""Operations of the kinds that this project is made of, at odd sizes, each with the answer of NumPy in float64.

A release of JAX that computes one of them wrongly is found by a test on every version that the tests run on, and
on a device by `benchmarks.accelerator`. References are written from the definition and share nothing with what
they check.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from backbones import warping
from gan import attention, layers, strided

Compute = Callable[..., jax.Array]
Reference = Callable[..., np.ndarray]
_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
_SIZES = (7, 33, 129, 1023, 32_769)  # one more or less than what hardware and compilers like
_ROWS = (16_385, 32_768, 32_769, 40_000, 65_537)


@dataclasses.dataclass(frozen=True)
class Operation:
    """Something to compute, and to compare.

    Attributes:
      name: unique.
      compute: jitted by `error_of`, on float32.
      reference: the same with NumPy, on float64.
      arguments: of both, in float32; whole numbers as they are.
      tolerance: largest difference, as a share of the largest absolute value of the reference.
    """

    name: str
    compute: Compute
    reference: Reference
    arguments: tuple[np.ndarray, ...]
    tolerance: float = 1e-5


def error_of(operation: Operation) -> float:
    """The largest difference to NumPy, as a share of the largest value; infinite where shapes or NaNs differ."""
    with jax.default_matmul_precision('highest'):
        computed = np.asarray(jax.jit(operation.compute)(*operation.arguments))
    wide = [a.astype(np.float64) if a.dtype == np.float32 else a for a in operation.arguments]
    expected = np.asarray(operation.reference(*wide))
    if computed.shape != expected.shape or not np.isfinite(computed).all():
        return math.inf
    largest = np.abs(expected).max() or 1.0
    return float(np.abs(computed.astype(np.float64) - expected).max() / largest)


def create_operations() -> list[Operation]:
    """All of them; the same in every process."""
    groups = (
        _reductions, _rows, _distances, _affine_products, _resamplings, _convolutions, _gradients, _normalizations,
        _attentions, _pools, _selections, _loops,
    )  # fmt: skip
    return [operation for group in groups for operation in group()]


def _draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def _reductions() -> Iterator[Operation]:
    pairs: Mapping[str, tuple[Compute, Reference]] = {
        'sum': (jnp.sum, np.sum),
        'mean': (jnp.mean, np.mean),
        'variance': (jnp.var, np.var),
        'maximum': (jnp.max, np.max),
        'minimum': (jnp.min, np.min),
        'deviation': (jnp.std, np.std),
        'log of sum of exponentials': (jax.nn.logsumexp, scipy.special.logsumexp),
        'norm': (lambda x, axis: jnp.sqrt(jnp.sum(x**2, axis)), lambda x, axis: np.sqrt((x**2).sum(axis))),
    }
    shapes: Sequence[tuple[tuple[int, ...], int | tuple[int, ...]]] = (
        ((32_769,), 0), ((40_000, 3), 1), ((40_000, 3), 0), ((257, 129), 1), ((257, 129), 0),
        ((7, 33, 31, 5), (1, 2)), ((7, 33, 31, 5), (0, 1, 2)), ((7, 33, 31, 5), 3), ((3, 1023, 17), 1),
    )  # fmt: skip
    for name, (compute, reference) in pairs.items():
        for shape, axis in shapes:
            yield Operation(
                f'{name} of {shape} over {axis}',
                lambda x, f=compute, axis=axis: f(x, axis=axis),
                lambda x, f=reference, axis=axis: f(x, axis=axis),
                (_draw(*shape) + 0.25,),
            )


def _rows() -> Iterator[Operation]:
    """A small product for each of many rows, reduced: what 0.10.2 computes wrongly."""
    for count in _ROWS:
        for size in (2, 3, 5):
            matrix, rows = _draw(size, size), _draw(count, size)
            yield Operation(
                f'squares of {count} rows of {size}',
                jax.vmap(lambda row, m: jnp.sum((m @ row) ** 2), (0, None)),
                lambda rows, m: ((rows @ m.T) ** 2).sum(axis=1),
                (rows, matrix),
            )
            yield Operation(
                f'unit vectors of {count} rows of {size}',
                jax.vmap(lambda row, m: (m @ row) / jnp.linalg.norm(row), (0, None)),
                lambda rows, m: rows @ m.T / np.linalg.norm(rows, axis=1, keepdims=True),
                (rows, matrix),
            )
        yield Operation(
            f'means of {count} rows',
            jax.vmap(lambda row, other: jnp.mean(row * other)),
            lambda rows, others: (rows * others).mean(axis=1),
            (_draw(count, 9), _draw(count, 9, seed=1)),
        )


def _distances() -> Iterator[Operation]:
    for rows, others, size in ((513, 129, 7), (33, 1023, 65), (1, 31, 2049), (257, 255, 3)):
        arguments = (_draw(rows, size), _draw(others, size, seed=1))
        name = f'{rows} to {others} points in {size} dimensions'
        yield Operation(
            f'squared distances of {name}',
            lambda a, b: jnp.sum((a[:, None] - b[None]) ** 2, axis=-1),
            _squared_distances,
            arguments,
        )
        yield Operation(
            f'squared distances by products of {name}',
            lambda a, b: (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1),
            _squared_distances,
            arguments,
        )
        yield Operation(
            f'least distance of {name}',
            jax.vmap(lambda point, b: jnp.min(jnp.sum((b - point) ** 2, axis=1)), (0, None)),
            lambda a, b: _squared_distances(a, b).min(axis=1),
            arguments,
        )
        yield Operation(
            f'cubed kernel of {name}',
            lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3,
            lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3,
            arguments,
        )


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack([((point - b) ** 2).sum(axis=1) for point in a])


def _affine_products() -> Iterator[Operation]:
    for count in (1, 33, 129, 32_769):
        yield Operation(
            f'affine map of {count} points',
            jax.vmap(lambda point, m: (m @ jnp.append(point, 1.0))[:2], (0, None)),
            lambda points, m: points @ m[:2, :2].T + m[:2, 2],
            (_draw(count, 2), _draw(3, 3)),
        )
        yield Operation(
            f'{count} affine maps composed',
            warping.compose,
            lambda outer, inner: np.einsum('nij,njk->nik', outer, inner),
            (_draw(count, 3, 3), _draw(count, 3, 3, seed=1)),
        )
    for shape in ((1, 9, 7), (5, 33, 31), (2, 129, 127), (3, 182, 181)):
        yield Operation(
            f'colours of {shape} pixels',
            lambda images, m: jnp.einsum('nhwc,ncd->nhwd', images, m),
            lambda images, m: np.stack([image @ one for image, one in zip(images, m, strict=True)]),
            (_draw(*shape, 3), _draw(shape[0], 3, 3)),
        )
        yield Operation(
            f'squared colours of {shape} pixels',
            lambda images, m: jax.vmap(lambda pixel: jnp.sum((m @ pixel) ** 2))(images.reshape(-1, 3)),
            lambda images, m: ((images.reshape(-1, 3) @ m.T) ** 2).sum(axis=1),
            (_draw(*shape, 3), _draw(3, 3)),
        )


def _resamplings() -> Iterator[Operation]:
    for shape in ((1, 9, 7, 1), (3, 33, 31, 2), (2, 64, 63, 3)):
        for seed in range(3):
            maps = np.tile(np.eye(3, dtype=np.float32), (shape[0], 1, 1))
            maps[:, :2] += 0.2 * _draw(shape[0], 2, 3, seed=seed)
            maps[:, :2, 2] *= 20
            # A point next to the middle of two pixels may fall on either side: linear weights make that harmless.
            yield Operation(f'warp {seed} of {shape}', warping.warp, _warp, (_draw(*shape), maps), 2e-5)
        yield Operation(
            f'doubling of {shape}', layers.upsample, lambda x: x.repeat(2, 1).repeat(2, 2), (_draw(*shape),)
        )
        even = (shape[0], 2 * shape[1], 2 * shape[2], shape[3])
        yield Operation(f'halving of {even}', layers.downsample, _halve, (_draw(*even),))
        for size in ((5, 4), (32, 32), (67, 71)):
            yield Operation(
                f'linear resizing of {shape} to {size}',
                lambda x, size=size: jax.image.resize(x, (len(x), *size, x.shape[3]), 'linear', antialias=False),
                lambda x, size=size: _resize(x, size),
                (_draw(*shape),),
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
                    (_draw(2, height, width, inputs), _draw(size, size, inputs, outputs)),
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
            (_draw(2, 17, 15, 16), _draw(3, 3, 16 // groups, 24)),
        )
    for size in (2, 3, 4, 5):
        arguments = (_draw(2, 10, 14, 3), _draw(size, size, 3, 6))
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
            (_draw(2, 5, 7, 6), arguments[1]),
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
            x, kernel = _draw(2, height, width, inputs), _draw(size, size, inputs, outputs)
            out = _convolve(x, kernel, stride).shape
            name = f'{size}x{size}/{stride} of {height}x{width}x{inputs} to {outputs}'
            yield Operation(
                f'gradient by the kernel of {name}',
                lambda x, k, g, s=stride: jax.grad(lambda k: jnp.sum(_convolve_jax(x, k, s) * g))(k),
                lambda x, k, g, s=stride: _kernel_gradient(x, k.shape, g, s),
                (x, kernel, _draw(*out, seed=1)),
            )
            yield Operation(
                f'gradient by the input of {name}',
                lambda x, k, g, s=stride: jax.grad(lambda x: jnp.sum(_convolve_jax(x, k, s) * g))(x),
                lambda x, k, g, s=stride: _input_gradient(x.shape, k, g, s),
                (x, kernel, _draw(*out, seed=1)),
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
                (_draw(*shape) + 0.5,),
                2e-5,
            )
        yield Operation(
            f'PGGAN pixel normalization of {shape}',
            layers.pixel_norm,
            lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8),
            (_draw(*shape),),
        )
    for batch in (4, 8, 12):
        x = _draw(batch, 4, 4, 33)
        yield Operation(f'deviation in groups of {batch}', lambda x: layers.minibatch_stddev(x, 4), _stddev, (x,))


def _stddev(x: np.ndarray) -> np.ndarray:
    groups = np.split(x, len(x) // 4)
    values = [np.sqrt(group.var(axis=0) + 1e-8).mean() for group in groups]
    statistic = np.repeat(values, 4)[:, None, None, None]
    return np.concatenate([x, np.broadcast_to(statistic, (*x.shape[:3], 1))], axis=-1)


def _attentions() -> Iterator[Operation]:
    for batch, queries, keys, depth, width in ((1, 9, 7, 3, 5), (2, 256, 63, 8, 32), (3, 1024, 257, 1, 17)):
        arguments = (
            _draw(batch, queries, depth),
            _draw(batch, keys, depth, seed=1),
            _draw(batch, keys, width, seed=2),
        )
        name = f'{queries} queries, {keys} keys of {depth}'
        yield Operation(f'attention of {name}', attention.attend, _attend, arguments)
        for chunks in (1, 3) if queries % 3 == 0 else (2, 4):
            yield Operation(
                f'attention of {name} in {chunks} chunks',
                lambda q, k, v, n=chunks: attention.attend_in_chunks(q, k, v, q.shape[1] // n),
                _attend,
                arguments,
            )


def _attend(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    return scipy.special.softmax(queries @ keys.swapaxes(1, 2), axis=-1) @ values


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
                (_draw(*shape),),
            )


def _selections() -> Iterator[Operation]:
    for size in _SIZES:
        x = _draw(size)
        places = np.random.default_rng(size).integers(0, size, 2 * size + 1)
        yield Operation(f'sorting {size}', jnp.sort, np.sort, (x,))
        yield Operation(f'running sum of {size}', jnp.cumsum, np.cumsum, (x,), 1e-4)
        yield Operation(f'median of {size}', jnp.median, np.median, (x,))
        yield Operation(
            f'percentiles of {size}', _percentiles, lambda x: np.percentile(x, [1.0, 50.0, 99.5]), (x,)
        )
        yield Operation(
            f'rows picked of {size}', lambda x, i: jnp.take(x, i, axis=0), lambda x, i: x[i], (x, places)
        )
        yield Operation(
            f'sums by place of {size}',
            lambda x, i: jnp.zeros_like(x).at[i].add(1.5),
            lambda x, i: 1.5 * np.bincount(i, minlength=len(x)),
            (x, places),
        )
        yield Operation(
            f'five smallest of {size}',
            lambda x: -jax.lax.top_k(-x, 5)[0],
            lambda x: np.sort(x)[:5],
            (x,),
        )
    for shape in ((3, 33, 31), (2, 64, 48)):
        yield Operation(
            f'spectrum of {shape}',
            lambda x: jnp.abs(jnp.fft.fft2(x)),
            lambda x: np.abs(np.fft.fft2(x)),
            (_draw(*shape),),
        )


def _percentiles(x: jax.Array) -> jax.Array:
    return jnp.percentile(x, np.array([1.0, 50.0, 99.5], np.float32))


def _loops() -> Iterator[Operation]:
    for rows, columns in ((9, 5), (129, 33), (1153, 65)):
        matrix, start = _draw(rows, columns), _draw(columns, seed=1)
        yield Operation(
            f'five power iterations of {rows}x{columns}',
            lambda m, u: jax.lax.fori_loop(0, 5, lambda _, u: layers.power_iteration(m, u), u),
            _iterate,
            (matrix, start),
        )
        yield Operation(
            f'running mean over {rows} steps of {columns}',
            lambda m, u: jax.lax.scan(lambda mean, row: (0.9 * mean + 0.1 * row, None), u, m)[0],
            lambda m, u: 0.9 ** len(m) * u + 0.1 * (0.9 ** np.arange(len(m))[::-1]) @ m,
            (matrix, start),
        )


def _iterate(matrix: np.ndarray, u: np.ndarray) -> np.ndarray:
    for _ in range(5):
        v = matrix @ u
        u = matrix.T @ (v / np.linalg.norm(v))
        u = u / np.linalg.norm(u)
    return u
