"""Networks around codes: InfoGAN's head, which finds them again, and BiGAN's encoder and joint discriminator.

Chen et al. 2016, arXiv:1606.03657; Donahue et al. 2017, arXiv:1605.09782.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.layers import ConditionalBatchNorm, leaky_relu
from gan.networks.dcgan import DcganDiscriminator, DcganGenerator
from gan.networks.heads import DiscriminatorOutput
from gan.strided import StridedConv

_DRAW = nn.initializers.normal(0.02)  # DCGAN, section 4
_LEAST_LOG_DEVIATION = -3.0  # below it a code would be known more exactly than images can show


class Codes(NamedTuple):
    """What a latent vector of InfoGAN means.

    Attributes:
      noise: what is left to chance.
      categories: of the categorical code.
      continuous: codes in [-1, 1).
    """

    noise: Float[Array, 'batch noise']
    categories: Int[Array, 'batch']
    continuous: Float[Array, 'batch continuous']


def split_codes(latents: Float[Array, 'batch latent'], categories: int, continuous: int) -> Codes:
    """Noise, category and continuous codes of latents that are uniform in [-1, 1): all are uniform then."""
    end = latents.shape[1] - continuous
    numbers = jnp.floor((latents[:, end - 1] + 1) / 2 * categories).astype(jnp.int32)
    return Codes(latents[:, : end - 1], jnp.clip(numbers, 0, categories - 1), latents[:, end:])


class InfoGenerator(DcganGenerator):
    """DcganGenerator of noise, a category and continuous codes; `latent_size` counts one number for the category.

    Attributes:
      categories: of the categorical code.
      continuous: the number of continuous codes.
    """

    categories: int
    continuous: int

    def __call__(
        self,
        latents: Float[Array, 'batch latent'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Draws images in (-1, 1); see DcganGenerator."""
        codes = split_codes(latents, self.categories, self.continuous)
        one_hot = jax.nn.one_hot(codes.categories, self.categories)
        return super().__call__(
            jnp.concatenate([codes.noise, one_hot, codes.continuous], axis=1), labels, alpha, update_stats
        )


class FoundCodes(NamedTuple):
    """What is believed of the codes that an image was drawn from.

    Attributes:
      category_logits: of the categorical code.
      means, log_deviations: of a Gaussian for each continuous code.
    """

    category_logits: Float[Array, 'batch categories']
    means: Float[Array, 'batch continuous']
    log_deviations: Float[Array, 'batch continuous']


class CodeHead(nn.Module):
    """Features of a discriminator to the codes of its image: the paper's Q without its trunk (appendix C).

    Attributes:
      categories, continuous: as in InfoGenerator.
      width: of the hidden layer.
      dtype: type of the hidden layer; what is found is float32.
    """

    categories: int
    continuous: int
    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, features: Float[Array, 'batch feature']) -> FoundCodes:
        hidden = leaky_relu(nn.Dense(self.width, kernel_init=_DRAW, dtype=self.dtype, name='hidden')(features))
        found = nn.Dense(self.categories + 2 * self.continuous, kernel_init=_DRAW, name='codes')(
            hidden.astype(jnp.float32)
        )
        logits, means, spread = jnp.split(found, (self.categories, self.categories + self.continuous), axis=1)
        return FoundCodes(logits, means, jnp.logaddexp(spread, _LEAST_LOG_DEVIATION))


class StridedEncoder(nn.Module):
    """Images to codes: convolutions with stride 2, then a dense layer.

    Attributes:
      code_size: numbers of a code.
      (others as in DcganDiscriminator; statistics of batch normalization are tracked, as in a generator.)
    """

    resolution: int
    channels: int
    code_size: int
    layers: int
    first_width: int
    max_width: int
    kernel_size: int
    batch_norm: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, images: Float[Array, 'batch resolution resolution channels'], update_stats: bool = False
    ) -> Float[Array, 'batch code_size']:
        x, unlabelled = images, jnp.zeros((images.shape[0],), jnp.int32)
        for layer in range(self.layers):
            width = min(self.first_width << layer, self.max_width)
            x = StridedConv(width, self.kernel_size, self.dtype, name=f'conv{layer}')(x)
            if self.batch_norm and layer > 0:
                x = ConditionalBatchNorm(dtype=self.dtype, name=f'norm{layer}')(x, unlabelled, update_stats)
            x = leaky_relu(x)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        return nn.Dense(self.code_size, kernel_init=_DRAW, name='code')(x)


class JointDiscriminator(DcganDiscriminator):
    """Pairs of an image and a code to a verdict: are they of the encoder (real) or of the generator?

    Attributes:
      code_size: numbers of a code.
      joint_width: of the hidden layers, on the code and on features and code together.
      (others as in DcganDiscriminator.)
    """

    code_size: int
    joint_width: int

    @nn.compact
    def __call__(
        self,
        images: Float[Array, 'batch resolution resolution channels'],
        codes: Float[Array, 'batch code_size'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> DiscriminatorOutput:
        """Judges pairs. `alpha` means nothing here; the features are those of the last hidden layer."""

        def hide(name: str, x: Array) -> Array:
            x = leaky_relu(nn.Dense(self.joint_width, kernel_init=_DRAW, dtype=self.dtype, name=name)(x))
            return nn.Dropout(self.dropout, deterministic=not self.has_rng('dropout'))(x)

        seen = self._describe(images, labels, update_stats)
        features = hide('joint', jnp.concatenate([seen, hide('code', codes)], axis=1)).astype(jnp.float32)
        return self._judge(features, labels)
