"""What StyleGAN and StyleGAN2 share: latents mapped to styles, mixing, truncation, and noise of each layer."""

import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, UInt32

from gan.latents import draw_latents
from gan.layers import HE_GAIN, Dense, leaky_relu, pixel_norm

STYLES = 'styles'  # the variable collection of what is known of the styles
_MEAN_DECAY = 0.995
_MAPPING_LAYERS = 8
_MAPPING_RATE = 0.01  # learning rate of the mapping beside the other layers'

Keys = Key[Array, 'batch']
Latents = Float[Array, 'batch latent']
Labels = Int[Array, 'batch']
Styles = Float[Array, 'batch style']
LayerStyles = Float[Array, 'batch layer style']
Noise = Float[Array, '_ pixels']  # of all layers, one after the other; one row serves all images


class Mapping(nn.Module):
    """Latents and classes to styles: dense layers that learn slowly (Karras et al. 2019, section 2).

    Weights are drawn from N(0, 1 / rate^2) and, with their bias, multiplied by the rate at run time.

    Attributes:
      num_classes: 0 without condition.
      size: numbers in a style.
    """

    num_classes: int
    size: int

    @nn.compact
    def __call__(self, latents: Latents, labels: Labels) -> Styles:
        x = pixel_norm(latents)
        if self.num_classes:
            embed = Dense(latents.shape[-1], gain=1.0, name='class_embedding')
            x = jnp.concatenate([x, pixel_norm(embed(jax.nn.one_hot(labels, self.num_classes)))], axis=-1)
        for number in range(_MAPPING_LAYERS):
            x = HE_GAIN * leaky_relu(_SlowDense(self.size, name=f'dense{number}')(x))
        return x


class _SlowDense(nn.Module):
    """One layer of the mapping, in float32."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, 'batch _']) -> Float[Array, 'batch features']:
        draw = nn.initializers.normal(1 / _MAPPING_RATE)
        kernel = self.param('kernel', draw, (x.shape[-1], self.features), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32)
        return _MAPPING_RATE * (x @ (kernel * x.shape[-1] ** -0.5) + bias)


class AddNoise(nn.Module):
    """Adds a layer's noise, as strong in each channel as it has learned to be; none at the start.

    Attributes:
      layer: its number.
    """

    layer: int

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width channel'], noise: Noise
    ) -> Float[Array, 'batch height width channel']:
        strength = self.param('strength', nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        side = x.shape[1]
        start = sum(layer_side(before) ** 2 for before in range(self.layer))
        plane = noise[:, start : start + side**2].reshape(-1, side, side, 1)
        return (x.astype(jnp.float32) + strength * plane).astype(x.dtype)


def layer_side(layer: int) -> int:
    """Height and width of what a layer draws: two layers at each size from 4 on."""
    return 4 << layer // 2


class StyleGenerator(nn.Module):
    """Latents to styles to images; its kinds differ in the synthesis.

    With `update_stats`, as in training, the styles' mean moves, some images have a second style from some layer
    on, and each image has noise of its own, which follows from its latent. Otherwise all images have one and the
    same noise, so that an image depends on its latent and class alone, whatever the batch.

    Attributes:
      resolution: height and width of the images, a power of two, at least 8.
      channels: channels of the images (and of their masks, where they are modelled together).
      num_classes: 0 without condition.
      latent_size: length of the latent vectors.
      latent_distribution: see `latents`.
      style_size: length of the styles.
      mixing: share of the images in training that are drawn from two styles (section 3.1).
      fmap_base, fmap_max: see `progressive.feature_maps`.
      dtype: type of the computation; styles and images are float32.
      mask_channels: the last of the channels, that a head of their own draws; see MaskHead.
    """

    resolution: int
    channels: int
    num_classes: int
    latent_size: int
    latent_distribution: str
    style_size: int
    mixing: float
    fmap_base: int
    fmap_max: int
    dtype: DTypeLike
    mask_channels: int = 0

    synthesis_kind: ClassVar[type[nn.Module]]

    def setup(self) -> None:
        self.mapping = Mapping(self.num_classes, self.style_size)
        self.synthesis = self.synthesis_kind(
            self.resolution, self.channels, self.fmap_base, self.fmap_max, self.dtype, self.mask_channels
        )
        shape = (max(self.num_classes, 1), self.style_size)
        self.mean_style = self.variable(STYLES, 'mean', jnp.zeros, shape, jnp.float32)

    def __call__(
        self,
        latents: Latents,
        labels: Labels,
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
        truncation: float = 1.0,
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Draws images, nominally in [-1, 1] (the last layer is linear).

        Args:
          latents, labels: one of each for an image.
          alpha: how far the last block has faded in, of networks that grow.
          update_stats: see above.
          truncation: share of the way from the mean style of the image's class to its own.
        """
        if not update_stats:
            return self.synthesize(self.spread(latents, labels, truncation), alpha)
        styles = self.mapping(latents, labels)
        self._track(styles, labels)
        noise_key, latent_key, mixing_key = image_keys(latents)
        layers = self._spread(styles)
        if self.mixing:
            draw = jax.vmap(lambda key: draw_latents(key, 1, self.latent_size, self.latent_distribution)[0])
            others = self._spread(self.mapping(draw(latent_key), labels))
            layers = mix(layers, others, draw_crossings(mixing_key, self.mixing, self.layers))
        return self.synthesis(layers, alpha, jax.vmap(self._draw_noise)(noise_key))

    def spread(self, latents: Latents, labels: Labels, truncation: float = 1.0) -> LayerStyles:
        """The style of each layer, truncated towards the mean of the class (section 2 and appendix B)."""
        means = self.mean_style.value[labels if self.num_classes else jnp.zeros_like(labels)]
        return self._spread(means + truncation * (self.mapping(latents, labels) - means))

    def synthesize(
        self, styles: LayerStyles, alpha: Float[Array, ''] | float = 1.0
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Images of styles, with the noise that all have in common."""
        return self.synthesis(styles, alpha, self._draw_noise(jax.random.key(0))[None])

    @property
    def layers(self) -> int:
        """How many layers take a style: two for each size."""
        return 2 * (self.resolution.bit_length() - 2)

    def _spread(self, styles: Styles) -> LayerStyles:
        return jnp.repeat(styles[:, None], self.layers, axis=1)

    def _draw_noise(self, key: PRNGKeyArray) -> Float[Array, 'pixels']:
        return jax.random.normal(key, (sum(layer_side(layer) ** 2 for layer in range(self.layers)),))

    def _track(self, styles: Styles, labels: Labels) -> None:
        """Moves the mean styles of the classes that the batch has."""
        members = jax.nn.one_hot(labels if self.num_classes else jnp.zeros_like(labels), max(self.num_classes, 1))
        counts = members.sum(axis=0)[:, None]
        found = jax.lax.stop_gradient(members.T @ styles) / jnp.maximum(counts, 1)
        old = self.mean_style.value
        self.mean_style.value = jnp.where(counts > 0, found + _MEAN_DECAY * (old - found), old)


def image_keys(latents: Latents) -> tuple[Keys, Keys, Keys]:
    """Three keys for each image, which follow from the bits of its latent alone."""
    bits: UInt32[Array, 'batch latent'] = jax.lax.bitcast_convert_type(latents.astype(jnp.float32), jnp.uint32)
    keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed), 3))(bits.sum(axis=1, dtype=jnp.uint32))
    return keys[:, 0], keys[:, 1], keys[:, 2]


def draw_crossings(keys: Keys, share: float, layers: int) -> Int[Array, 'batch']:
    """The first layer of each image's second style: any but 0 in this share of the images, else behind all."""
    chance, place = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys).T
    first = 1 + jnp.floor(place * (layers - 1)).astype(jnp.int32)
    return jnp.where(chance < share, jnp.minimum(first, layers - 1), layers)


def mix(styles: LayerStyles, others: LayerStyles, crossings: Int[Array, 'batch']) -> LayerStyles:
    """Each image's styles up to its crossing, and the others from there on."""
    layers = jnp.arange(styles.shape[1])
    return jnp.where((layers < crossings[:, None])[:, :, None], styles, others)


def unit_gain(x: Float[Array, '*shape']) -> Float[Array, '*shape']:
    """Leaky rectifier that keeps the mean square of what is spread about 0."""
    return leaky_relu(x) * math.sqrt(2)
