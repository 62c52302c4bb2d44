"""BigGAN: residual networks whose blocks are each told the class and a part of the latent (Brock et al. 2019).

arXiv:1809.11096, appendix B. The discriminator is SNGAN's.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan.layers import BatchNormBase, Dense, Scaling
from gan.networks.progressive import doublings
from gan.networks.residual import ResidualDiscriminator, ResidualGenerator


class ModulatedBatchNorm(BatchNormBase):
    """Batch normalization with gains and biases that are linear in a condition; both layers have no bias.

    Attributes:
      scaling: of their weights; see `layers`.
      (others as in BatchNormBase.)
    """

    scaling: Scaling = 'orthogonal'

    @nn.compact
    def __call__(
        self,
        x: Float[Array, 'batch height width channel'],
        condition: Float[Array, 'batch condition'],
        update_stats: bool,
    ) -> Float[Array, 'batch height width channel']:
        gain, bias = (
            Dense(x.shape[-1], gain=1.0, scaling=self.scaling, use_bias=False, name=name)(condition, update_stats)
            for name in ('gain', 'bias')
        )
        return self._normalize(x, 1 + gain, bias, update_stats)


class BigGanGenerator(ResidualGenerator):
    """Latents to images. The latent is cut into chunks: one for the first layer, and one for each block.

    A block's chunk and the embedding of the class, which all blocks share, decide the gains and biases of its
    normalization; without classes the chunks alone do.

    Attributes:
      class_embedding: length of the shared embedding.
      spectral_norm: spectral normalization in every layer, drawn orthogonal.
      (others as in ResidualGenerator.)
    """

    class_embedding: int

    def _conditions(self, latents: Array, labels: Array, update_stats: bool) -> tuple[Array, dict[int, Array]]:
        resolutions = doublings(8, self.resolution)
        first, *chunks = jnp.array_split(latents, 1 + len(resolutions), axis=-1)
        if self.num_classes:
            embed = nn.Embed(self.num_classes, self.class_embedding, name='class_embedding')
            embedding = embed(labels)
            chunks = [jnp.concatenate([embedding, chunk], axis=-1) for chunk in chunks]
        return first, dict(zip(resolutions, chunks, strict=True))

    def _normalize(self, name: str, x: Array, condition: Array, update_stats: bool) -> Array:
        norm = ModulatedBatchNorm(dtype=self.dtype, scaling=self._scaling, name=name)
        return norm(x, condition, update_stats)

    @property
    def _scaling(self) -> Scaling:
        return 'orthogonal' if self.spectral_norm else 'plain'


class BigGanDiscriminator(ResidualDiscriminator):
    """SNGAN's, drawn orthogonal where it has spectral normalization."""

    @property
    def _scaling(self) -> Scaling:
        return 'orthogonal' if self.spectral_norm else 'plain'
