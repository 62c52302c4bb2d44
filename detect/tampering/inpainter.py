"""Networks that make the middle of a cube from what is around it, and that judge such middles.

The slices of a cube are the channels of an image: convolutions in two dimensions are what CPUs are quick at.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Cubes = Float[Array, 'batch depth side side']
_SLOPE = 0.2  # of the leaky rectifiers
HALVINGS = 2  # a cube's side is a multiple of 2 to this power


class Inpainter(nn.Module):
    """An encoder-decoder with skip connections (Ronneberger et al. 2015, arXiv:1505.04597), as in pix2pix.

    Attributes:
      width: features at full resolution; each halving doubles them.
    """

    width: int

    @nn.compact
    def __call__(self, blanked: Cubes, blank: Bool[Array, 'depth side side']) -> Cubes:
        """Cubes in [-1, 1], the same as those given where they are not blank."""
        x = _as_images(blanked, blank)
        skips = []
        for level in range(HALVINGS):
            x = self._convolve(f'encoder{level}', x, level, 1)
            skips.append(x)
            x = self._convolve(f'down{level}', x, level + 1, 2)
        x = self._convolve('middle', x, HALVINGS, 1)
        for level in reversed(range(HALVINGS)):
            x = x.repeat(2, axis=1).repeat(2, axis=2)
            x = self._convolve(f'decoder{level}', jnp.concatenate([x, skips[level]], axis=-1), level, 1)
        made = jnp.tanh(nn.Conv(blanked.shape[1], (3, 3), name='head')(x))
        return jnp.where(blank, jnp.moveaxis(made, -1, 1), blanked)

    def _convolve(
        self, name: str, x: Float[Array, 'batch _ _ _'], level: int, stride: int
    ) -> Float[Array, 'batch _ _ _']:
        features = self.width << level
        return jax.nn.leaky_relu(nn.Conv(features, (3, 3), stride, name=name)(x), _SLOPE)


class Judge(nn.Module):
    """Cubes to logits of their patches, higher for real (PatchGAN, Isola et al. 2017, arXiv:1611.07004).

    Attributes:
      width: features at full resolution; each halving doubles them.
    """

    width: int

    @nn.compact
    def __call__(self, cubes: Cubes, blank: Bool[Array, 'depth side side']) -> Float[Array, 'batch row column']:
        """Judges middles in their surroundings."""
        x = _as_images(cubes, blank)
        for level in range(HALVINGS):
            x = nn.Conv(self.width << level, (4, 4), 2, name=f'down{level}')(x)
            x = jax.nn.leaky_relu(x, _SLOPE)
        return nn.Conv(1, (3, 3), name='head')(x)[..., 0]


def _as_images(cubes: Cubes, blank: Bool[Array, 'depth side side']) -> Float[Array, 'batch side side channel']:
    """Slices as channels, and as one more where the cube is blank in any of them."""
    images = jnp.moveaxis(cubes, 1, -1)
    where = jnp.broadcast_to(blank.any(axis=0)[..., None], (*images.shape[:3], 1))
    return jnp.concatenate([images, where.astype(images.dtype)], axis=-1)
