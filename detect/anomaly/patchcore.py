"""PatchCore: how far patches are from a bank of real ones (Roth et al. 2022, arXiv:2106.08265)."""

import dataclasses
import functools
from collections.abc import Iterable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Float64, Int32, Int64

from detect.anomaly.fitted import Fitted
from detect.anomaly.maps import Located, Stages, check_stages, join_stages, locate
from foundation.training.errors import UserError


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


NEIGHBOURS = 9  # of the nearest real patch, that weigh an image's score (equation 7)
_TILE = 2**24  # distances at a time: 64 MiB
_EXACT = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True, eq=False)
class Patchcore(Fitted):
    """The bank.

    Attributes:
      grid: rows and columns of patches in an image.
      bank: real patches that stand for all.
    """

    grid: Int64[np.ndarray, ' 2']
    bank: Float32[np.ndarray, 'patch feature']

    def score(self, stages: Stages, height: int, width: int) -> Located:
        """How far patches are from the bank, and how far images are.

        Maps are the distances of patches, enlarged to `height` and `width` and smoothed. The score of an image is
        that of its strangest patch, (1 - softmax(d)[0]) s: s is its distance to the nearest patch m of the bank, d
        its distances to the 9 patches of the bank that are nearest to m, with m the first (equations 6 and 7).

        Raises:
          UserError: when the stages have other sizes than those of the fit.
        """
        rows, columns = self.grid.tolist()
        check_stages(stages, (rows, columns), self.bank.shape[1])
        patches = extract_patches(stages)
        distances = distances_to_nearest(patches, self._on_device).reshape(-1, rows, columns)
        maps = locate(jnp.asarray(distances), height, width).maps
        strangest = distances.reshape(len(maps), -1).argmax(axis=1)
        of_images = patches.reshape(len(maps), rows * columns, -1)
        scores = [_score(image[place], self._on_device) for image, place in zip(of_images, strangest, strict=True)]
        return Located(np.asarray(scores, np.float32), maps)

    @functools.cached_property
    def _on_device(self) -> Float32[Array, 'patch feature']:
        return jnp.asarray(self.bank)


@jax.jit
def _score(patch: Float32[Array, ' feature'], bank: Float32[Array, 'patch feature']) -> Float32[Array, '']:
    """Of the image whose strangest patch this is."""
    distances = jnp.linalg.norm(bank - patch, axis=1)
    place = distances.argmin()
    around = jnp.square(bank - bank[place]).sum(axis=1)
    around = around.at[place].set(-1.0)  # the first, whatever copies of it the bank has
    _, neighbours = jax.lax.top_k(-around, NEIGHBOURS)
    return (1 - jax.nn.softmax(distances[neighbours])[0]) * distances[place]


def fit_patchcore(batches: Iterable[Stages], *, candidates: int, ratio: float, most: int, seed: int) -> Patchcore:
    """Fills the bank in one pass.

    Args:
      batches: stages of real training images, the highest resolution first (section 4.1: the second and third).
      candidates: patches, drawn from all, that the bank is chosen from: what bounds memory and time.
      ratio: of them that is kept (section 4.1: 0.1 loses little).
      most: patches kept, at most.
      seed: of the candidates, and of the patch that the choice begins with.

    Raises:
      UserError: when there are too few patches, or a feature is not finite.
    """
    reservoir, grid = Reservoir(candidates, seed), None
    for stages in batches:
        if grid is None:
            grid, channels = stages[0].shape[1:3], sum(stage.shape[-1] for stage in stages)
        check_stages(stages, grid, channels)
        reservoir.add(extract_patches(stages))
    if grid is None:
        raise UserError('PatchCore needs real images to be fitted on, and there are none.')
    points = reservoir.kept
    if not np.isfinite(points).all():
        raise UserError('PatchCore was given features that are not finite; check the network and its images.')
    size = min(round(ratio * len(points)), most)
    if size < NEIGHBOURS:
        raise UserError(
            f'PatchCore would keep {size} of {len(points)} patches and needs {NEIGHBOURS}; give more images, '
            'or a larger ratio.'
        )
    first = int(np.random.default_rng(seed).integers(len(points)))
    return Patchcore(np.asarray(grid, np.int64), points[choose_coreset(points, size, first)])


def extract_patches(stages: Stages) -> Float32[np.ndarray, 'patch feature']:
    """Patches of all images, row by row: means over the 3x3 places around each that lie in the image."""
    return np.asarray(_extract(tuple(stages)))


@jax.jit
def _extract(stages: Stages) -> Float32[Array, 'patch feature']:
    pooled = [nn.avg_pool(stage, (3, 3), padding='SAME', count_include_pad=False) for stage in stages]
    joined = join_stages(pooled, None)
    return joined.reshape(-1, joined.shape[-1])


def distances_to_nearest(
    queries: Float32[np.ndarray, 'query feature'], bank: Float32[Array, 'patch feature']
) -> Float32[np.ndarray, ' query']:
    """Euclidean distance to the nearest patch of the bank.

    So many queries at a time that their distances to the whole bank fit into 64 MiB; always as many, so that one
    program serves all. Distances below 0.001 of a vector's length are rounding.
    """
    size = max(1, min(_TILE // len(bank), len(queries)))
    distances = np.empty(len(queries), np.float32)
    for start in range(0, len(queries), size):
        rows = np.minimum(np.arange(start, start + size), len(queries) - 1)
        distances[rows] = _distances_of_tile(queries[rows], bank)
    return distances


@jax.jit
def _distances_of_tile(queries: Array, bank: Array) -> Float32[Array, ' query']:
    centre = bank.mean(axis=0)  # |a|^2 - 2ab + |b|^2 of centred vectors loses little precision
    queries, bank = queries - centre, bank - centre
    products = jnp.matmul(queries, bank.T, precision=_EXACT)
    least = jnp.min(jnp.square(bank).sum(axis=1) - 2 * products, axis=1)
    return jnp.sqrt(jax.nn.relu(jnp.square(queries).sum(axis=1) + least))
