"""Operations on rows of numbers: reductions, distances, small products, attention, selections, loops."""

from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from backbones import warping
from benchmarks.operations.comparison import Compute, Operation, Reference, draw
from gan import attention, layers

_SIZES = (7, 33, 129, 1023, 32_769)  # one more or less than what hardware and compilers like
_ROWS = (16_385, 32_768, 32_769, 40_000, 65_537)


def create_operations() -> list[Operation]:
    """All of this kind."""
    groups = (_reductions, _rows, _distances, _affine_products, _attentions, _selections, _loops)
    return [operation for group in groups for operation in group()]


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
                (draw(*shape) + 0.25,),
            )


def _rows() -> Iterator[Operation]:
    """A small product for each of many rows, reduced: what 0.10.2 computes wrongly."""
    for count in _ROWS:
        for size in (2, 3, 5):
            matrix, rows = draw(size, size), draw(count, size)
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
            (draw(count, 9), draw(count, 9, seed=1)),
        )


def _distances() -> Iterator[Operation]:
    for rows, others, size in ((513, 129, 7), (33, 1023, 65), (1, 31, 2049), (257, 255, 3)):
        arguments = (draw(rows, size), draw(others, size, seed=1))
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
            (draw(count, 2), draw(3, 3)),
        )
        yield Operation(
            f'{count} affine maps composed',
            warping.compose,
            lambda outer, inner: np.einsum('nij,njk->nik', outer, inner),
            (draw(count, 3, 3), draw(count, 3, 3, seed=1)),
        )
    for shape in ((1, 9, 7), (5, 33, 31), (2, 129, 127), (3, 182, 181)):
        yield Operation(
            f'colours of {shape} pixels',
            lambda images, m: jnp.einsum('nhwc,ncd->nhwd', images, m),
            lambda images, m: np.stack([image @ one for image, one in zip(images, m, strict=True)]),
            (draw(*shape, 3), draw(shape[0], 3, 3)),
        )
        yield Operation(
            f'squared colours of {shape} pixels',
            lambda images, m: jax.vmap(lambda pixel: jnp.sum((m @ pixel) ** 2))(images.reshape(-1, 3)),
            lambda images, m: ((images.reshape(-1, 3) @ m.T) ** 2).sum(axis=1),
            (draw(*shape, 3), draw(3, 3)),
        )


def _attentions() -> Iterator[Operation]:
    for batch, queries, keys, depth, width in ((1, 9, 7, 3, 5), (2, 256, 63, 8, 32), (3, 1024, 257, 1, 17)):
        arguments = (
            draw(batch, queries, depth),
            draw(batch, keys, depth, seed=1),
            draw(batch, keys, width, seed=2),
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


def _selections() -> Iterator[Operation]:
    for size in _SIZES:
        x = draw(size)
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
            (draw(*shape),),
        )


def _percentiles(x: jax.Array) -> jax.Array:
    return jnp.percentile(x, np.array([1.0, 50.0, 99.5], np.float32))


def _loops() -> Iterator[Operation]:
    for rows, columns in ((9, 5), (129, 33), (1153, 65)):
        matrix, start = draw(rows, columns), draw(columns, seed=1)
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
