"""A few vectors that stand for many: random ones, and those that leave none of the others far away."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Float64, Int32


class Reservoir:
    """Keeps at most so many of the vectors that pass, each with the same chance.

    Args:
      most: vectors kept.
      seed: of the choice.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most = most
        self._random = np.random.default_rng(seed)
        self._keys: Float64[np.ndarray, ' kept'] = np.empty(0)
        self._kept: Float32[np.ndarray, 'kept feature'] | None = None

    def add(self, vectors: Float32[np.ndarray, 'count feature']) -> None:
        """Each vector draws a number; those with the lowest ones stay, in their order."""
        keys = np.concatenate([self._keys, self._random.random(len(vectors))])
        every = vectors if self._kept is None else np.concatenate([self._kept, vectors])
        if len(keys) > self._most:
            lowest = np.sort(np.argpartition(keys, self._most)[: self._most])
            keys, every = keys[lowest], every[lowest]
        self._keys, self._kept = keys, every

    @property
    def kept(self) -> Float32[np.ndarray, 'kept feature']:
        """The vectors that stayed.

        Raises:
          ValueError: when none was added.
        """
        if self._kept is None:
            raise ValueError('Nothing was added.')
        return self._kept


def choose_coreset(
    points: Float32[np.ndarray, 'count feature'], size: int, first: int
) -> Int32[np.ndarray, ' size']:
    """The greedy solution of the k-centre problem: each next point is the one farthest from those chosen.

    Roth et al. 2022, arXiv:2106.08265, algorithm 1, without its random projection. At most twice as far as the
    best choice leaves the farthest point (Gonzalez 1985).

    Args:
      points: to choose from, at least `size`.
      size: points chosen.
      first: the point begun with, which is the first of the result.

    Returns:
      Rows of `points`, in the order in which they were chosen.

    Raises:
      ValueError: when there are fewer points than asked for.
    """
    if not 0 < size <= len(points):
        raise ValueError(f'{size} of {len(points)} points cannot be chosen.')
    # Centred, so that |a|^2 - 2ab + |b|^2, a product of matrices, loses little precision.
    return np.asarray(_choose(jnp.asarray(points - points.mean(axis=0)), jnp.int32(first), size))


@functools.partial(jax.jit, static_argnums=2)
def _choose(points: Array, first: Array, size: int) -> Int32[Array, ' size']:
    squares = jnp.square(points).sum(axis=1)

    def add(number: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        chosen, least = state
        last = chosen[number - 1]
        products = jnp.matmul(points, points[last], precision=jax.lax.Precision.HIGHEST)
        least = jnp.minimum(least, squares - 2 * products + squares[last])
        least = least.at[last].set(-jnp.inf)  # rounding shall not choose it again
        return chosen.at[number].set(jnp.argmax(least).astype(jnp.int32)), least

    chosen = jnp.zeros(size, jnp.int32).at[0].set(first)
    return jax.lax.fori_loop(1, size, add, (chosen, jnp.full(len(points), jnp.inf)))[0]
