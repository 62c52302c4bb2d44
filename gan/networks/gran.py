"""GRAN: a picture is drawn on a canvas in several strokes (Im et al. 2016, arXiv:1602.05110)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.layers import ConditionalBatchNorm, MaskHead, leaky_relu, width_at
from gan.networks.progressive import doublings
from gan.strided import StridedConv, TransposedConv

_DRAW = nn.initializers.normal(0.02)  # DCGAN's


class GranGenerator(nn.Module):
    """Latents to images: each step encodes what the step before drew, and decodes it with the latent to a stroke.

    The image is tanh of the sum of all strokes (section 4, figure 3). Weights are the same in all steps;
    statistics of batch normalization are each step's own, since its inputs are spread otherwise.

    Attributes:
      resolution: height and width of the images, a power of two, at least 8.
      channels: channels of the images (and of their masks, where they are modelled together).
      num_classes: 0 without condition.
      latent_size: length of the latent vectors.
      latent_distribution: see `latents`.
      class_embedding: length of the class's learned embedding, which is appended to the latents.
      steps: strokes.
      hidden_size: length of what the latent, and what the canvas is encoded to.
      last_width: features at the images' resolution; every halving has twice as many,
      max_width: but at most these.
      kernel_size: of all convolutions.
      dtype: type of the computation; strokes and images are float32.
      mask_channels: the last of the channels, that a head of their own draws; see MaskHead.
    """

    resolution: int
    channels: int
    num_classes: int
    latent_size: int
    latent_distribution: str
    class_embedding: int
    steps: int
    hidden_size: int
    last_width: int
    max_width: int
    kernel_size: int
    dtype: DTypeLike
    mask_channels: int = 0

    def setup(self) -> None:
        sides = doublings(4, self.resolution)
        widths = [width_at(side, self.resolution, self.last_width, self.max_width) for side in sides]
        if self.num_classes:
            self.embed = nn.Embed(self.num_classes, self.class_embedding)
        self.latent_layer = nn.Dense(self.hidden_size, kernel_init=_DRAW, dtype=self.dtype)
        self.code_layer = nn.Dense(self.hidden_size, kernel_init=_DRAW, dtype=self.dtype)
        self.first_layer = nn.Dense(16 * widths[0], kernel_init=_DRAW, dtype=self.dtype)
        self.decoding = [TransposedConv(width, self.kernel_size, self.dtype) for width in widths[1:]]
        self.encoding = [StridedConv(width, self.kernel_size, self.dtype) for width in widths[-2::-1]]
        kernel = (self.kernel_size, self.kernel_size)
        shown = self.channels - self.mask_channels
        self.to_stroke = nn.Conv(shown, kernel, kernel_init=_DRAW, dtype=self.dtype)
        self.to_mask = MaskHead(self.mask_channels, 'plain', self.dtype)
        self.norms = [
            [ConditionalBatchNorm(dtype=self.dtype) for _ in range(len(sides))] for _ in range(self.steps)
        ]

    def __call__(
        self,
        latents: Float[Array, 'batch latent'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Draws images in (-1, 1). `alpha` means nothing here; `update_stats` as in BatchNormBase."""
        del alpha
        return jnp.tanh(self.strokes(latents, labels, update_stats).sum(axis=0))

    def strokes(
        self, latents: Float[Array, 'batch latent'], labels: Int[Array, 'batch'], update_stats: bool = False
    ) -> Float[Array, 'steps batch resolution resolution channels']:
        """What each step draws, unbounded."""
        if self.num_classes:
            latents = jnp.concatenate([latents, self.embed(labels)], axis=-1)
        hidden = jnp.tanh(self.latent_layer(latents))
        code = jnp.zeros_like(hidden)
        drawn: list[Array] = []
        for step in range(self.steps):
            if drawn:
                code = self._encode(drawn[-1])
            drawn.append(self._decode(step, jnp.concatenate([hidden, code], axis=-1), labels, update_stats))
        return jnp.stack(drawn)

    def _decode(self, step: int, hidden: Array, labels: Array, update_stats: bool) -> Array:
        x = self.first_layer(hidden)
        x = x.reshape(len(x), 4, 4, -1)
        x = jax.nn.relu(self.norms[step][0](x, labels, update_stats))
        for layer, norm in zip(self.decoding, self.norms[step][1:], strict=True):
            x = jax.nn.relu(norm(layer(x), labels, update_stats))
        return self.to_mask(self.to_stroke(x), x).astype(jnp.float32)

    def _encode(self, canvas: Array) -> Array:
        x = canvas.astype(self.dtype)
        for layer in self.encoding:
            x = leaky_relu(layer(x))
        return jnp.tanh(self.code_layer(x.reshape(len(x), -1)))
