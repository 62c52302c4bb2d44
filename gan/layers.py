"""Layers of all networks: PGGAN's (Karras et al. 2018, arXiv:1710.10196), and with spectral normalization."""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from backbones.networks.normalization import normalize

SPECTRAL = 'spectral'  # the variable collection that holds the power-iteration vectors
HE_GAIN = math.sqrt(2)
Scaling = Literal['equalized', 'spectral', 'orthogonal', 'plain']
BOUNDED: tuple[Scaling, ...] = ('spectral', 'orthogonal')  # those that bound a layer's slope
BATCH_STATS = 'batch_stats'  # that of running means and variances
_INITIAL_POWER_ITERATIONS = 16
MOMENTUM = 0.95


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


def width_at(side: int, final: int, width: int, largest: int) -> int:
    """Features of maps of this side: `width` at the final one, doubled at each halving, at most `largest`."""
    return min(width * final // side, largest)


def append_class(
    latents: Float[Array, 'batch latent'], labels: Int[Array, 'batch'], num_classes: int, size: int
) -> Float[Array, 'batch _']:
    """Latents with the class's learned embedding behind, if there are classes; to be called in a module."""
    if not num_classes:
        return latents
    return jnp.concatenate([latents, nn.Embed(num_classes, size, name='class_embedding')(labels)], axis=-1)


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


class ScaledLayer(nn.Module):
    """Weights under one of four scalings.

    - `equalized`: drawn from N(0, 1) and multiplied by gain / sqrt(fan_in) at run time (section 4.1).
    - `spectral`: divided by their largest singular value (Miyato et al. 2018, arXiv:1802.05957). A constant at run
      time would be irrelevant beside it (cW / sigma(cW) = W / sigma(W)). They are drawn from N(0, 1 / fan_in), so
      that the learning rates of its literature apply.
    - `orthogonal`: the same, drawn with orthogonal columns or rows (Brock et al. 2019, arXiv:1809.11096).
    - `plain`: drawn from N(0, gain^2 / fan_in) (He et al. 2015, arXiv:1502.01852) and used as they are.

    Attributes:
      features: output channels.
      gain: see above.
      scaling: see above.
      use_bias: add a bias that starts at 0.
      dtype: type of the computation; parameters are float32.
    """

    features: int
    gain: float = HE_GAIN
    scaling: Scaling = 'equalized'
    use_bias: bool = True
    dtype: DTypeLike = jnp.float32

    def _kernel(self, shape: tuple[int, ...], update_stats: bool) -> Array:
        fan_in = math.prod(shape[:-1])
        draw = {
            'equalized': nn.initializers.normal(1.0),
            'spectral': nn.initializers.normal(fan_in**-0.5),
            'orthogonal': nn.initializers.orthogonal(),
            'plain': nn.initializers.normal(self.gain * fan_in**-0.5),
        }[self.scaling]
        kernel = self.param('kernel', draw, shape, jnp.float32)
        if self.scaling in BOUNDED:
            kernel = kernel / self._spectral_norm(kernel, update_stats)
        if self.scaling == 'equalized':
            kernel = kernel * (self.gain / math.sqrt(fan_in))
        return kernel.astype(self.dtype)

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


class Conv(ScaledLayer):
    """2-D convolution with stride 1 and zero padding."""

    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: Float[Array, 'batch height width _'], update_stats: bool = False):
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        x, kernel = x.astype(self.dtype), self._kernel(shape, update_stats)
        if self.kernel_size == 1:  # a product of matrices, at whose gradient CPUs are quicker
            return self._add_bias(x @ kernel[0, 0])
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
        return self._add_bias(x)


class Dense(ScaledLayer):
    """Fully connected layer."""

    @nn.compact
    def __call__(self, x: Float[Array, 'batch _'], update_stats: bool = False):
        return self._add_bias(x.astype(self.dtype) @ self._kernel((x.shape[-1], self.features), update_stats))


class MaskHead(nn.Module):
    """Draws mask channels apart from the picture: a 3x3 convolution of the last features, a rectifier, a 1x1 one.

    What masks need of edges is then made in layers that the picture does not see.

    Attributes:
      channels: of masks; 0 draws none, and has no weights.
      scaling: of its weights; see ScaledLayer.
      dtype: type of the computation; parameters are float32.
    """

    channels: int
    scaling: Scaling = 'equalized'
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        picture: Float[Array, 'batch height width shown'],
        x: Float[Array, 'batch height width feature'],
        update_stats: bool = False,
    ) -> Float[Array, 'batch height width _']:
        """The picture with masks behind, drawn from the features that it was drawn from."""
        if not self.channels:
            return picture
        options: dict[str, Any] = {'scaling': self.scaling, 'dtype': self.dtype}
        x = leaky_relu(Conv(x.shape[-1], name='conv', **options)(x, update_stats))
        masks = Conv(self.channels, gain=1.0, kernel_size=1, name='to_mask', **options)(x, update_stats)
        return jnp.concatenate([picture, masks.astype(picture.dtype)], axis=-1)


class BatchNormBase(nn.Module):
    """Batch normalization in float32 (Ioffe and Szegedy 2015), whose gains and biases its kinds decide.

    Attributes:
      tracked: keep running statistics, which normalise whenever `update_stats` is off. A discriminator needs none:
        it always judges whole batches.
      dtype: type of the result.
    """

    tracked: bool = True
    dtype: DTypeLike = jnp.float32

    def _normalize(self, x: Array, scale: Array, bias: Array, update_stats: bool) -> Array:
        """With a gain and a bias for each channel, the same for all images or one for each."""
        wide = x.astype(jnp.float32)
        mean, variance = wide.mean(axis=(0, 1, 2)), wide.var(axis=(0, 1, 2))
        if self.tracked:
            mean, variance = self._track(mean, variance, update_stats)
        return normalize(wide, mean, variance, scale, bias, epsilon=1e-5).astype(self.dtype)

    def _track(self, mean: Array, variance: Array, update_stats: bool) -> tuple[Array, Array]:
        """This batch's statistics when `update_stats`, which then enter the running ones; else those."""
        running = [
            self.variable(BATCH_STATS, 'mean', jnp.zeros_like, mean),
            self.variable(BATCH_STATS, 'variance', jnp.ones_like, variance),
        ]
        if not update_stats:
            return running[0].value, running[1].value
        for old, new in zip(running, (mean, variance), strict=True):
            old.value = MOMENTUM * old.value + (1 - MOMENTUM) * new
        return mean, variance


class ConditionalBatchNorm(BatchNormBase):
    """With a gain and bias for each class (Dumoulin et al. 2017, arXiv:1610.07629); one of each without classes.

    Attributes:
      num_classes: 0 without condition.
      (others as in BatchNormBase.)
    """

    num_classes: int = 0

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width channel'], labels: Int[Array, 'batch'], update_stats: bool
    ) -> Float[Array, 'batch height width channel']:
        shape = (max(self.num_classes, 1), x.shape[-1])
        scale = self.param('scale', nn.initializers.ones, shape, jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
        scale, bias = (p[labels] if self.num_classes else p for p in (scale, bias))
        return self._normalize(x, scale, bias, update_stats)
