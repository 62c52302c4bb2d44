"""Layers of PGGAN (Karras et al. 2018, arXiv:1710.10196) with optional spectral normalization."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

SPECTRAL = 'spectral'  # the variable collection that holds the power-iteration vectors
HE_GAIN = math.sqrt(2)
_INITIAL_POWER_ITERATIONS = 16


def pixel_norm(x: Float[Array, 'batch *space channel'], epsilon: float = 1e-8):
    """Scales every pixel's feature vector to unit mean square, in float32 (section 4.2)."""
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + epsilon)
    return (wide * scale).astype(x.dtype)


def leaky_relu(x: Float[Array, '*shape']) -> Float[Array, '*shape']:
    """Leaky rectifier with slope 0.2."""
    return jax.nn.leaky_relu(x, 0.2)


def upsample(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """Doubles height and width by repeating pixels."""
    batch, height, width, channel = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, 2, width, 2, channel))
    return x.reshape(batch, 2 * height, 2 * width, channel)


def downsample(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """Halves height and width by 2x2 means."""
    batch, height, width, channel = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channel).mean(axis=(2, 4))


def minibatch_stddev(
    x: Float[Array, 'batch height width channel'], group_size: int
) -> Float[Array, 'batch height width _']:
    """Appends a map of the standard deviation within groups of the batch (section 3).

    Groups are contiguous, so a batch sharded in multiples of `group_size` needs no communication.

    Raises:
      ValueError: when the batch is not a multiple of the group.
    """
    batch, height, width, channel = x.shape
    group_size = min(group_size, batch)
    if batch % group_size:
        raise ValueError(f'A batch of {batch} cannot be cut into groups of {group_size}.')
    groups = x.astype(jnp.float32).reshape(batch // group_size, group_size, height, width, channel)
    deviation = jnp.sqrt(jnp.var(groups, axis=1) + 1e-8).mean(axis=(1, 2, 3))
    statistic = jnp.repeat(deviation, group_size)[:, None, None, None]
    return jnp.concatenate([x, jnp.broadcast_to(statistic, (batch, height, width, 1)).astype(x.dtype)], -1)


def _unit(vector: Float[Array, 'n']) -> Float[Array, 'n']:
    return vector / (jnp.linalg.norm(vector) + 1e-12)


def power_iteration(matrix: Float[Array, 'n m'], u: Float[Array, 'm']) -> Float[Array, 'm']:
    """One step towards the leading right singular vector (Miyato et al. 2018, algorithm 1)."""
    return _unit(_product(matrix.T, _unit(_product(matrix, u))))


def _product(matrix: Float[Array, 'n m'], vector: Float[Array, 'm']) -> Float[Array, 'n']:
    """In full float32, which accelerators do not use for products by default."""
    return jnp.matmul(matrix, vector, precision=jax.lax.Precision.HIGHEST)


class _EqualizedLayer(nn.Module):
    """Weights drawn from N(0, 1) and scaled at run time (section 4.1), or divided by their largest singular value.

    Spectral normalization makes a run-time constant irrelevant (cW / sigma(cW) = W / sigma(W)), so a layer has
    one or the other. Weights under spectral normalization are drawn from N(0, 1 / fan_in), so that the learning
    rates of its literature apply to them.

    Attributes:
      features: output channels.
      gain: He gain; the weights are multiplied by gain / sqrt(fan_in).
      spectral: divide by the spectral norm instead (arXiv:1802.05957).
      use_bias: add a bias that starts at 0.
      dtype: type of the computation; parameters are float32.
    """

    features: int
    gain: float = HE_GAIN
    spectral: bool = False
    use_bias: bool = True
    dtype: DTypeLike = jnp.float32

    def _kernel(self, shape: tuple[int, ...], update_stats: bool) -> Array:
        fan_in = math.prod(shape[:-1])
        deviation = 1 / math.sqrt(fan_in) if self.spectral else 1.0
        kernel = self.param('kernel', nn.initializers.normal(deviation), shape, jnp.float32)
        if self.spectral:
            return (kernel / self._spectral_norm(kernel, update_stats)).astype(self.dtype)
        return (kernel * (self.gain / math.sqrt(fan_in))).astype(self.dtype)

    def _spectral_norm(self, kernel: Array, update_stats: bool) -> Float[Array, '']:
        """The largest singular value; the persistent vector moves one step when `update_stats`."""
        matrix = kernel.reshape(-1, kernel.shape[-1])
        constant = jax.lax.stop_gradient(matrix)

        def initial_vector() -> Array:
            u = _unit(jax.random.normal(self.make_rng('params'), (matrix.shape[1],)))
            # A loop, since it compiles in a fraction of the time.
            return jax.lax.fori_loop(0, _INITIAL_POWER_ITERATIONS, lambda _, u: power_iteration(constant, u), u)

        u = self.variable(SPECTRAL, 'u', initial_vector)
        if update_stats:
            u.value = power_iteration(constant, u.value)
        v = _unit(_product(constant, u.value))
        return jnp.sum(v * _product(matrix, u.value))

    def _add_bias(self, x: Array) -> Array:
        if not self.use_bias:
            return x
        bias = self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32)
        # In float32, because the bias's gradient is a sum over all pixels of the batch.
        return (x.astype(jnp.float32) + bias).astype(self.dtype)


class Conv(_EqualizedLayer):
    """2-D convolution with stride 1 and zero padding."""

    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: Float[Array, 'batch height width _'], update_stats: bool = False):
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self._kernel(shape, update_stats)
        x = jax.lax.conv_general_dilated(
            x.astype(self.dtype), kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )
        return self._add_bias(x)


class Dense(_EqualizedLayer):
    """Fully connected layer."""

    @nn.compact
    def __call__(self, x: Float[Array, 'batch _'], update_stats: bool = False):
        return self._add_bias(x.astype(self.dtype) @ self._kernel((x.shape[-1], self.features), update_stats))
