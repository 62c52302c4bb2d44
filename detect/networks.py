"""Networks that tell synthetic images and stacks from real ones, and what the branches of the first are shown."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from backbones.networks import Network
from detect.sheets import join_tiles, split_tiles
from foundation.training.errors import UserError

Images = Float[Array, 'batch height width channel']

_FLOOR = 1e-3  # added to magnitudes before the logarithm
_PERCENTILES = np.array([5.0, 95.0], np.float32)
_LEVELS = 64  # of grey, in co-occurrence matrices
_PLACES = 16  # along a side of the maps of anomaly scores
_ATTENTION_WIDTH = 32  # of the attention that weighs patches
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
      weights: of the patches in what follows from them, which sum to 1; of no patch where there is none.
    """

    logits: Float[Array, ' batch']
    pooled: Float[Array, 'batch feature']
    maps: Maps
    stages: tuple[Float[Array, 'batch _ _ _'], ...]
    weights: Float[Array, 'batch patch']


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


class PatchPooling(nn.Module):
    """What follows from the tiles of a sheet: of the overview by itself, of the patches by learned weights.

    The weights are those of gated attention (Ilse et al. 2018, arXiv:1802.04712, equation 9): where one patch of
    many tells, it is not averaged away.

    Attributes:
      width: of the attention.
    """

    width: int

    @nn.compact
    def __call__(
        self, tiles: Float[Array, 'batch tile feature']
    ) -> tuple[Float[Array, 'batch _'], Float[Array, 'batch patch']]:
        """Features of an image from those of its tiles, and the weights of its patches."""
        overview, patches = tiles[:, 0], tiles[:, 1:]
        normed = nn.LayerNorm(name='norm')(patches)
        gated = jnp.tanh(nn.Dense(self.width, name='attend')(normed)) * jax.nn.sigmoid(
            nn.Dense(self.width, name='gate')(normed)
        )
        weights = jax.nn.softmax(nn.Dense(1, use_bias=False, name='score')(gated)[..., 0], axis=1)
        return jnp.concatenate([jnp.einsum('np,npf->nf', weights, patches), overview], axis=-1), weights


class DetectorNetwork(nn.Module):
    """Images to logits.

    Attributes:
      inputs: what each branch sees, of INPUTS.
      encoders: the network of each branch; its own logits are not used.
      prepare: what is done to the pixels before any branch sees them, in the range the encoders were trained with.
      attention_heads: of self-attention over the last map of each branch; 0 without it.
      tile: pixels along the sides of the tiles of sheets (see `PatchSheet`), each of which the encoders see by
        itself; 0 for images as they are.
    """

    inputs: tuple[str, ...]
    encoders: tuple[Network, ...]
    prepare: Callable[[Array], Array]
    attention_heads: int
    tile: int = 0

    def setup(self) -> None:
        """Makes the layers behind the encoders."""
        if self.attention_heads:
            self.attention = [MultiHeadAttention(self.attention_heads) for _ in self.inputs]
        if self.tile:
            self.pooling = PatchPooling(_ATTENTION_WIDTH)
        self.head = nn.Dense(1)

    def __call__(self, images: Float[Array, 'batch height width channel'], train: bool = False) -> Detection:
        """Judges images in [-1, 1], or sheets of them, of any number of tiles."""
        lines = self.count_lines(images)
        maps, stages = self.encode(images, train)
        pooled, weights = self._pool(maps, lines)
        return Detection(self.head(pooled)[:, 0], pooled, maps, stages, weights)

    def count_lines(self, images: Float[Array, 'batch height width channel']) -> int:
        """Tiles along a side of a sheet; 1 for images as they are."""
        return images.shape[1] // self.tile if self.tile else 1

    def encode(
        self, images: Float[Array, 'batch height width channel'], train: bool
    ) -> tuple[Maps, tuple[Float[Array, 'batch _ _ _'], ...]]:
        """The last map of each branch, and all maps of the first; those of the tiles lie as the tiles do."""
        lines = self.count_lines(images)
        prepared = self.prepare(split_tiles(images, self.tile) if self.tile else images)
        described = [
            encoder(INPUTS[name](prepared), train)
            for name, encoder in zip(self.inputs, self.encoders, strict=True)
        ]
        maps = tuple(own.stages[-1].astype(jnp.float32) for own in described)
        if self.attention_heads:
            maps = tuple(look(own) for look, own in zip(self.attention, maps, strict=True))
        stages = described[0].stages
        if not self.tile:
            return maps, stages
        return tuple(join_tiles(own, lines) for own in maps), tuple(join_tiles(own, lines) for own in stages)

    def decide(self, maps: Maps, lines: int = 1) -> Float[Array, ' batch']:
        """The logits that follow from the last maps, of so many tiles along a side; what Grad-CAM asks for."""
        return self.head(self._pool(maps, lines)[0])[:, 0]

    def _pool(self, maps: Maps, lines: int) -> tuple[Float[Array, 'batch feature'], Float[Array, 'batch patch']]:
        if not self.tile:
            pooled = jnp.concatenate([own.mean(axis=(1, 2)) for own in maps], axis=-1)
            return pooled, jnp.zeros((len(pooled), 0))
        means = [split_tiles(own, own.shape[1] // lines).mean(axis=(1, 2)) for own in maps]
        return self.pooling(jnp.concatenate(means, axis=-1).reshape(len(maps[0]), lines**2, -1))


def choose_stages(stages: Maps, lines: int = 1) -> Maps:
    """The maps that tell where an image is strange: two behind the first, which shows little but edges.

    They are averaged to 16x16 places at most, for the time to compare them with a bank grows with the places.

    Args:
      stages: from the highest resolution on.
      lines: tiles along a side of a sheet, which are averaged each by itself.
    """
    return tuple(_average_places(own, lines) for own in stages[1:3] or stages)


def _average_places(stage: Float[Array, 'batch _ _ _'], lines: int) -> Float[Array, 'batch _ _ _']:
    tiles = split_tiles(stage.astype(jnp.float32), stage.shape[1] // lines) if lines > 1 else stage
    height, width = (min(side, _PLACES // lines) for side in tiles.shape[1:3])
    averaged = jax.image.resize(tiles.astype(jnp.float32), (len(tiles), height, width, tiles.shape[-1]), 'linear')
    return join_tiles(averaged, lines) if lines > 1 else averaged


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
