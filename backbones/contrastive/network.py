"""An encoder with the small network behind it in which views are compared."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from backbones.networks import DenseNet, ResNet


class ContrastiveNetwork(nn.Module):
    """Images to features, and these to projections, which are left behind after training (SimCLR, section 2.1).

    Attributes:
      encoder: whose pooled features are wanted.
      hidden: width of the layer between features and projections.
      projected: length of a projection.
    """

    encoder: ResNet | DenseNet
    hidden: int
    projected: int

    @nn.compact
    def __call__(
        self, images: Float[Array, 'batch height width channel'], train: bool = False
    ) -> Float[Array, 'batch projected']:
        """Projections, in float32."""
        features = self.encoder(images, train).pooled
        inner = jax.nn.relu(nn.Dense(self.hidden, name='hidden')(features))
        return nn.Dense(self.projected, name='projected')(inner)
