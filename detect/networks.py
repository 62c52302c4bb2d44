"""Networks that tell synthetic images and stacks from real ones, and what the branches of the first are shown."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from backbones.networks import Network
from foundation.training.errors import UserError

Images = Float[Array, 'batch height width channel']

_FLOOR = 1e-3  # added to magnitudes before the logarithm
_PERCENTILES = np.array([5.0, 95.0], np.float32)
_LEVELS = 64  # of grey, in co-occurrence matrices
_PLACES = 16  # along a side of the maps of anomaly scores
Maps = tuple[Float[Array, 'batch _ _ _'], ...]


def residual(images: Images) -> Images:
    """What is lost by halving an image and doubling it again, both by nearest pixel (Tan et al. 2024,
    arXiv:2312.10461, equation 2).

    Layers that double resolution leave traces between neighbouring pixels; what an image shows is mostly gone.
    """
    height, width = images.shape[1:3]
    doubled = images[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
    return images - doubled[:, :height, :width]


def spectrum(images: Images) -> Images:
    """Log magnitudes of the Fourier transform of each channel, the mean in the middle (Zhang et al. 2019,
    arXiv:1907.06515, section 3.3).

    The 5th and 95th percentiles of each image become -1 and 1.
    """
    magnitudes = jnp.abs(jnp.fft.fft2(images.astype(jnp.float32), axes=(1, 2)))
    logs = jnp.fft.fftshift(jnp.log(magnitudes + _FLOOR), axes=(1, 2))
    low, high = jnp.percentile(logs, _PERCENTILES, axis=(1, 2), keepdims=True)
    return 2 * (logs - low) / jnp.maximum(high - low, _FLOOR) - 1


def cooccurrence(images: Images) -> Float[Array, 'batch level level channel']:
    """How often a grey level lies beside another one, of pixels and their right neighbours (Nataraj et al. 2019,
    arXiv:1903.06836), as an image of the logarithms of these counts.

    A pixel between two of the 64 levels counts for both in proportion, so that there are gradients.
    """
    levels = (jnp.clip(images, -1, 1) + 1) * ((_LEVELS - 1) / 2)
    shares = jax.nn.relu(1 - jnp.abs(levels[..., None] - jnp.arange(_LEVELS, dtype=levels.dtype)))
    left, right = shares[:, :, :-1], shares[:, :, 1:]
    counts = jnp.einsum('nhwca,nhwcb->nabc', left, right)
    return jnp.log1p(counts) / jnp.log1p(float(left.shape[1] * left.shape[2])) * 2 - 1


def pixels(images: Images) -> Images:
    """The image itself."""
    return images


INPUTS: dict[str, Callable[[Array], Array]] = {
    'residual': residual,
    'pixels': pixels,
    'spectrum': spectrum,
    'cooccurrence': cooccurrence,
}


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


class StackDetector(nn.Module):
    """Features of the slices of a stack to one logit, and to the weight of each slice in it.

    A gated recurrent network reads the slices in both directions; attention pools its states (Ilse et al. 2018,
    arXiv:1802.04712, equation 8), so that a few altered slices among many are not averaged away.

    Attributes:
      width: of the recurrent state in each direction, and of the attention.
    """

    width: int

    @nn.compact
    def __call__(
        self, features: Float[Array, 'batch slice feature'], valid: Bool[Array, 'batch slice']
    ) -> tuple[Float[Array, ' batch'], Float[Array, 'batch slice']]:
        """Judges stacks.

        Args:
          features: of each slice, from first to last, then padding.
          valid: False for padding.

        Returns:
          Logits, above 0 where the stack looks altered, and weights of the slices, which sum to 1.
        """
        x = nn.Dense(self.width, name='project')(nn.LayerNorm(name='norm')(features))
        forward, backward = nn.RNN(nn.GRUCell(self.width)), nn.RNN(nn.GRUCell(self.width))
        lengths = valid.sum(axis=1)
        states = nn.Bidirectional(forward, backward, name='recurrent')(x, seq_lengths=lengths)
        gated = jnp.tanh(nn.Dense(self.width, name='attend')(states)) * jax.nn.sigmoid(
            nn.Dense(self.width, name='gate')(states)
        )
        scores = nn.Dense(1, use_bias=False, name='score')(gated)[..., 0]
        weights = jax.nn.softmax(jnp.where(valid, scores, -jnp.inf), axis=1)
        pooled = jnp.einsum('ns,nsf->nf', weights, states)
        return nn.Dense(1, name='head')(pooled)[:, 0], weights


def sample_slices(count: int, wanted: int) -> list[int]:
    """Slices that stand for a stack: all of a short one, else `wanted` of them, evenly from first to last."""
    if count <= wanted:
        return list(range(count))
    return [round(place * (count - 1) / (wanted - 1)) for place in range(wanted)] if wanted > 1 else [count // 2]
