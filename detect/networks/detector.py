"""The network for single images: branches that each see something else of it, and one logit."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from backbones.networks import Network
from detect.networks.inputs import INPUTS
from foundation.training.errors import UserError

_PLACES = 16  # along a side of the maps of anomaly scores
Maps = tuple[Float[Array, 'batch _ _ _'], ...]


class Detection(NamedTuple):
    """What a detector says of a batch of images.

    Attributes:
      logits: above 0 where the image looks synthetic, float32.
      pooled: the last maps of all branches averaged over their pixels, float32.
      maps: the last map of each branch, from which the logit follows.
      stages: the maps of each resolution of the first branch, the highest first.
    """

    logits: Float[Array, ' batch']
    pooled: Float[Array, 'batch feature']
    maps: Maps
    stages: tuple[Float[Array, 'batch _ _ _'], ...]


class MultiHeadAttention(nn.Module):
    """Lets every place of a map look at all others; added to what was there with a weight that begins at 0.

    Attributes:
      heads: that look at the same time; the features are divided among them.
    """

    heads: int

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width feature']
    ) -> Float[Array, 'batch height width feature']:
        if x.shape[-1] % self.heads:
            raise UserError(f'attention_heads is {self.heads}, but must divide {x.shape[-1]} features of a map.')
        places = x.reshape(len(x), -1, x.shape[-1])
        looked = nn.MultiHeadDotProductAttention(self.heads, name='attention')(nn.LayerNorm(name='norm')(places))
        weight = self.param('weight', nn.initializers.zeros, ())
        return x + weight * looked.reshape(x.shape)


class DetectorNetwork(nn.Module):
    """Images to logits.

    Attributes:
      inputs: what each branch sees, of INPUTS.
      encoders: the network of each branch; its own logits are not used.
      prepare: what is done to the pixels before any branch sees them, in the range the encoders were trained with.
      attention_heads: of self-attention over the last map of each branch; 0 without it.
    """

    inputs: tuple[str, ...]
    encoders: tuple[Network, ...]
    prepare: Callable[[Array], Array]
    attention_heads: int

    def setup(self) -> None:
        """Makes the layers behind the encoders."""
        if self.attention_heads:
            self.attention = [MultiHeadAttention(self.attention_heads) for _ in self.inputs]
        self.head = nn.Dense(1)

    def __call__(self, images: Float[Array, 'batch height width channel'], train: bool = False) -> Detection:
        """Judges images in [-1, 1]."""
        maps, stages = self.encode(images, train)
        pooled = _pool(maps)
        return Detection(self.head(pooled)[:, 0], pooled, maps, stages)

    def encode(
        self, images: Float[Array, 'batch height width channel'], train: bool
    ) -> tuple[Maps, tuple[Float[Array, 'batch _ _ _'], ...]]:
        """The last map of each branch, and all maps of the first."""
        prepared = self.prepare(images)
        described = [
            encoder(INPUTS[name](prepared), train)
            for name, encoder in zip(self.inputs, self.encoders, strict=True)
        ]
        maps = tuple(own.stages[-1].astype(jnp.float32) for own in described)
        if self.attention_heads:
            maps = tuple(look(own) for look, own in zip(self.attention, maps, strict=True))
        return maps, described[0].stages

    def decide(self, maps: Maps) -> Float[Array, ' batch']:
        """The logits that follow from the last maps; what Grad-CAM asks for."""
        return self.head(_pool(maps))[:, 0]


def choose_stages(stages: Maps) -> Maps:
    """The maps that tell where an image is strange: two behind the first, which shows little but edges.

    They are averaged to 16x16 places at most, for the time to compare them with a bank grows with the places.
    """
    chosen = stages[1:3] or stages
    return tuple(
        jax.image.resize(
            own.astype(jnp.float32),
            (len(own), min(own.shape[1], _PLACES), min(own.shape[2], _PLACES), own.shape[3]),
            'linear',
        )
        for own in chosen
    )


def _pool(maps: Maps) -> Float[Array, 'batch feature']:
    return jnp.concatenate([own.mean(axis=(1, 2)) for own in maps], axis=-1)
