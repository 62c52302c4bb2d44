"""Networks that make the middle of a cube from what is around it, and that judge such middles.

The slices of a cube are the channels of an image: convolutions in two dimensions are what CPUs are quick at.
"""

import logging
from collections.abc import Callable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Float32

from detect.tampering.cubes import BLANK, Cube, Region
from detect.tampering.tampering import Inpaint
from foundation.training.errors import UserError
from foundation.training.state import NetworkState, Params, create_network_state, update_network

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


class PatchDiscriminator(nn.Module):
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


_ADVERSARIAL = 0.01  # weight beside L1, as in pix2pix
_LEARNING_RATE, _MOMENTUM = 1e-3, 0.5  # of Adam
_REPORTS = 10  # lines that training logs
_LOGGER = logging.getLogger(__name__)
Blank = Bool[np.ndarray, 'depth side side']


@flax.struct.dataclass
class _State:
    inpainter: NetworkState
    judge: NetworkState


def fit_inpainter(
    cubes: Float32[np.ndarray, 'count depth side side'],
    region: Region,
    *,
    width: int,
    steps: int,
    batch_size: int,
    seed: int,
) -> Inpaint:
    """Trains on L1 and an adversarial hinge loss, and returns what makes middles.

    It learns to make what the middles of its cubes hold: lesions, if the cubes are centred on lesions.

    Args:
      cubes: of training patients, with their middles; see `cubes.cut_cube`.
      region: what they were cut as.
      width: features at full resolution.
      steps: updates of both networks.
      batch_size: cubes a step.
      seed: of the weights and of the order.

    Raises:
      UserError: when there is no cube, or their side cannot be halved twice.
    """
    if not len(cubes) or cubes.shape[-1] % 2**HALVINGS:
        raise UserError(
            f'An inpainter needs cubes whose side is a multiple of {2**HALVINGS}, not an array of {cubes.shape}.'
        )
    blank = region.blanked(cubes.shape[1])
    inpainter, judge, optimizer = (
        Inpainter(width),
        PatchDiscriminator(width),
        optax.adam(_LEARNING_RATE, _MOMENTUM),
    )
    keys, shown = jax.random.split(jax.random.key(seed)), (jnp.asarray(cubes[:1]), jnp.asarray(blank))
    state = _State(
        create_network_state(inpainter.init(keys[0], *shown), optimizer),
        create_network_state(judge.init(keys[1], *shown), optimizer),
    )
    step = _make_step(inpainter, judge, optimizer, blank)
    random = np.random.default_rng(seed)
    for number in range(1, steps + 1):
        state, error = step(state, cubes[random.integers(len(cubes), size=batch_size)])
        if number % max(steps // _REPORTS, 1) == 0:
            _LOGGER.info('Inpainter: step %d of %d, mean absolute error %.4f.', number, steps, float(error))
    return _make_inpaint(inpainter, state.inpainter, blank)


def _make_inpaint(network: Inpainter, state: NetworkState, blank: Blank) -> Inpaint:
    compiled = jax.jit(lambda cube: network.apply(state.variables, cube[None], jnp.asarray(blank))[0])

    def inpaint(cube: Cube) -> Cube:
        return np.asarray(compiled(cube))

    return inpaint


def _make_step(
    inpainter: Inpainter, judge: PatchDiscriminator, optimizer: optax.GradientTransformation, blank: Blank
) -> Callable[..., tuple[_State, Array]]:
    """Returns `step(state, cubes) -> (state, error)`: one update of both, the judge first."""
    where = jnp.asarray(blank)

    def make(params: Params, cubes: Cubes) -> Cubes:
        return inpainter.apply({'params': params}, jnp.where(where, BLANK, cubes), where)

    def judge_loss(params: Params, made: Cubes, cubes: Cubes) -> Float[Array, '']:
        """E[max(0, 1 - D(real))] + E[max(0, 1 + D(made))] (Lim and Ye 2017, arXiv:1705.02894)."""
        real, fake = (judge.apply({'params': params}, each, where) for each in (cubes, made))
        return jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean()

    def inpainter_loss(params: Params, judging: Params, cubes: Cubes) -> tuple[Float[Array, ''], Float[Array, '']]:
        made = make(params, cubes)
        error = jnp.abs(made - cubes).mean(where=where)
        logits = judge.apply({'params': judging}, made, where)
        return error - _ADVERSARIAL * logits.mean(), error

    @jax.jit
    def step(state: _State, cubes: Cubes) -> tuple[_State, Float[Array, '']]:
        made = make(state.inpainter.params, cubes)
        gradients = jax.grad(judge_loss)(state.judge.params, made, cubes)
        judged, _ = update_network(state.judge, gradients, {}, optimizer)
        gradient = jax.grad(inpainter_loss, has_aux=True)
        gradients, error = gradient(state.inpainter.params, judged.params, cubes)
        inpainted, _ = update_network(state.inpainter, gradients, {}, optimizer)
        return _State(inpainted, judged), error

    return step
