"""Self-attention over the pixels of a feature map (SAGAN, Zhang et al. 2019, arXiv:1805.08318)."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from gan.layers import Conv


def attend(
    queries: Float[Array, 'batch query depth'],
    keys: Float[Array, 'batch key depth'],
    values: Float[Array, 'batch key value'],
) -> Float[Array, 'batch query value']:
    """softmax(queries keys^T) values, without the usual 1 / sqrt(depth) (equation 1). Softmax in float32."""
    scores = jnp.einsum('bqd,bkd->bqk', queries, keys, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    return jnp.einsum('bqk,bkv->bqv', weights, values)


def attend_in_chunks(
    queries: Float[Array, 'batch query depth'],
    keys: Float[Array, 'batch key depth'],
    values: Float[Array, 'batch key value'],
    chunk: int,
) -> Float[Array, 'batch query value']:
    """The same numbers as `attend`, holding `chunk` rows of the score matrix at a time.

    Rows are independent, so this is exact. Scores are computed again in the backward pass, which keeps its
    memory at `chunk` rows too; it may be differentiated any number of times.

    Raises:
      ValueError: when the queries are not a multiple of the chunk.
    """
    batch, count, depth = queries.shape
    if count % chunk:
        raise ValueError(f'{count} queries cannot be cut into chunks of {chunk}.')
    pieces = queries.reshape(batch, count // chunk, chunk, depth).swapaxes(0, 1)
    rows = jax.checkpoint(partial(_attend_rows, keys=keys, values=values))
    attended = jax.lax.map(rows, pieces)
    return attended.swapaxes(0, 1).reshape(batch, count, values.shape[-1])


def _attend_rows(queries: Array, keys: Array, values: Array) -> Array:
    return attend(queries, keys, values)


def max_pool(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """2x2 maxima, written as a plain maximum because that is cheap to differentiate twice."""
    batch, height, width, channel = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channel).max(axis=(2, 4))


class SelfAttention(nn.Module):
    """x + gamma * o, with gamma starting at 0, so that a new layer is an identity.

    Attributes:
      chunk: rows of the score matrix held at a time; 0 forms the whole matrix.
      dtype: type of the computation.
    """

    chunk: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width channel'], update_stats: bool = False
    ) -> Float[Array, 'batch height width channel']:
        batch, height, width, channel = x.shape
        project = partial(Conv, kernel_size=1, scaling='spectral', use_bias=False, dtype=self.dtype)
        depth, value_depth = max(channel // 8, 1), max(channel // 2, 1)
        queries = project(depth, name='theta')(x, update_stats).reshape(batch, height * width, depth)
        keys = max_pool(project(depth, name='phi')(x, update_stats)).reshape(batch, -1, depth)
        values = max_pool(project(value_depth, name='g')(x, update_stats)).reshape(batch, -1, value_depth)
        if self.chunk and self.chunk < height * width:
            attended = attend_in_chunks(queries, keys, values, self.chunk)
        else:
            attended = attend(queries, keys, values)
        attended = attended.reshape(batch, height, width, value_depth)
        gamma = self.param('gamma', nn.initializers.zeros, (), jnp.float32)
        attended = project(channel, name='o')(attended, update_stats)
        # In float32, because gamma's gradient is a sum over the whole batch.
        return (x.astype(jnp.float32) + gamma * attended.astype(jnp.float32)).astype(x.dtype)
