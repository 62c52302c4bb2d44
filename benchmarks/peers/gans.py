"""Adversarial training: our step from a config of this project, and the same in PyTorch, parameters copied."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Float32, PyTree
from ml_collections import ConfigDict
from torch import nn

from benchmarks.peers.adversarial import AdversarialCycle, TorchAdversarialTraining
from benchmarks.peers.copying import Layout, convert_adversarial, load
from benchmarks.peers.forms import Form
from benchmarks.peers.networks import dcgan, progressive, residual
from benchmarks.peers.timing import PeerRun
from gan.networks import Discriminator, Generator
from gan.recipe import create_recipe as create_gan_recipe
from gan.state import GanState, ema_decay
from gan.step import StepRecipe, create_cycle

IMAGES_SEEN = 200_000.0  # when the running mean has its final decay
Placed = tuple[nn.Module, Layout]


@dataclasses.dataclass(frozen=True)
class Gan:
    """A recipe of this project.

    Attributes:
      config: name of its config in configs/gan.
      changes: fields of the config that differ, by name.
    """

    config: str
    changes: dict[str, int]

    def configure(self, resolution: int, dtype: str) -> ConfigDict:
        """The config, its networks grown to this resolution."""
        config = importlib.import_module(f'configs.gan.{self.config}').get_config()
        config.update_from_flattened_dict({**self.changes, 'resolution': resolution, 'compute_dtype': dtype})
        config.schedule.batch_size[f'at_{resolution}'] = 8  # named by every schedule, and not looked at
        return config


def create_recipe(config: ConfigDict) -> tuple[StepRecipe, GanState]:
    """All that decides a step, and a state with fresh parameters."""
    gan = create_gan_recipe(config)
    recipe = gan.step_at(gan.resolution, gan.image_format(num_classes=0))
    return recipe, gan.create_state(recipe, jax.random.key(0))


def draw_images(resolution: int, batch: int) -> Float32[np.ndarray, 'batch resolution resolution 1']:
    """Noise in [-1, 1]: what an image shows does not change the time."""
    return np.random.default_rng(0).uniform(-1, 1, (batch, resolution, resolution, 1)).astype(np.float32)


def create_ours(gan: Gan, resolution: int, batch: int, dtype: str) -> PeerRun:
    """One cycle: updates of the discriminator, one of the generator, the running mean."""
    recipe, state = create_recipe(gan.configure(resolution, dtype))
    cycle = create_cycle(recipe)
    steps = {step: jax.jit(step, donate_argnums=0) for step in cycle}
    data = {'image': jnp.asarray(draw_images(resolution, batch)), 'label': jnp.zeros(batch, jnp.int32)}
    controls = {'alpha': jnp.ones(()), 'images_seen': jnp.asarray(IMAGES_SEEN)}
    key, parameters = (
        jax.random.key(1),
        count_parameters((state.networks['generator'].params, state.networks['discriminator'].params)),
    )

    def run() -> None:
        nonlocal state
        for step in cycle:
            state, _ = steps[step](state, data, key, controls)
        jax.block_until_ready(state)

    return PeerRun(run, 'jit', parameters)


def count_parameters(params: PyTree) -> int:
    """Numbers in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def create_peer(gan: Gan, resolution: int, batch: int, form: Form) -> PeerRun:
    """The same cycle in PyTorch."""
    config = gan.configure(resolution, form.dtype)
    cycle = create_torch_cycle(config, *create_recipe(config), batch, form)
    images = torch.from_numpy(draw_images(resolution, batch).transpose(0, 3, 1, 2).copy())
    reals = [form.place(images)] * config.optimizer.discriminator_steps

    def run() -> None:
        cycle.run(reals)
        form.finish()

    networks = (cycle.generator, cycle.discriminator)
    return PeerRun(run, str(form), sum(p.numel() for network in networks for p in network.parameters()))


def create_torch_cycle(
    config: ConfigDict, recipe: StepRecipe, state: GanState, batch: int, form: Form
) -> AdversarialCycle:
    """The recipe in PyTorch, with the parameters of the state."""
    placed = CREATE[config.architecture](recipe.generator, recipe.discriminator)
    states = (state.networks['generator'].variables, state.networks['discriminator'].variables)
    generator, discriminator = (
        load(network, convert_adversarial(variables, layout))
        for (network, layout), variables in zip(placed, states, strict=True)
    )
    return AdversarialCycle(generator, discriminator, _create_training(config, batch), form)


def _create_training(config: ConfigDict, batch: int) -> TorchAdversarialTraining:
    loss, optimizer, images = config.loss, config.optimizer, batch * config.optimizer.discriminator_steps
    if loss.penalty not in ('gradient', 'none') or loss.penalty_every != 1 or loss.penalty_target != 1.0:
        raise ValueError(f'The peer has WGAN-GP in every step, or no penalty, but not {loss.penalty}.')
    return TorchAdversarialTraining(
        loss=loss.name,
        penalty_weight=loss.penalty_weight if loss.penalty == 'gradient' else 0.0,
        drift_weight=loss.drift_weight,
        latent_distribution=config.generator.latent_distribution,
        latent_size=config.generator.latent_size,
        learning_rates=(optimizer.generator_learning_rate, optimizer.discriminator_learning_rate),
        betas=(optimizer.b1, optimizer.b2),
        eps=optimizer.eps,
        decay=float(
            ema_decay(images, jnp.asarray(IMAGES_SEEN + batch), config.average.half_life, config.average.ramp)
        ),
    )


def _create_progressive(generator: Generator, discriminator: Discriminator) -> tuple[Placed, Placed]:
    shared = ('resolution', 'channels', 'fmap_base', 'fmap_max', 'attention_resolution')
    scaling = 'spectral' if discriminator.spectral_norm else 'equalized'
    drawing = progressive.TorchProgressiveGenerator(**_fields(generator, *shared, 'latent_size'))
    judging = progressive.TorchProgressiveDiscriminator(
        **_fields(discriminator, *shared, 'stddev_group'), scaling=scaling
    )
    return (drawing, Layout(to_map='4x4_dense')), (judging, Layout(from_map='4x4_dense'))


def _create_dcgan(generator: Generator, discriminator: Discriminator) -> tuple[Placed, Placed]:
    drawn = ('resolution', 'channels', 'latent_size', 'last_width', 'max_width')
    judged = ('resolution', 'channels', 'layers', 'first_width', 'max_width')
    drawing = dcgan.TorchDcganGenerator(**_fields(generator, *drawn))
    judging = dcgan.TorchDcganDiscriminator(**_fields(discriminator, *judged))
    transposed = tuple(f'{size}x{size}_conv' for size in drawing.sizes)
    return (
        (drawing, Layout(to_map='4x4_dense', transposed=transposed, mirrored=True)),
        (judging, Layout(from_map='head', side=judging.side, mirrored=True)),
    )


def _create_residual(generator: Generator, discriminator: Discriminator) -> tuple[Placed, Placed]:
    drawn = ('resolution', 'channels', 'latent_size', 'last_width', 'max_width')
    judged = ('resolution', 'channels', 'first_width', 'max_width')
    drawing = residual.TorchResidualGenerator(**_fields(generator, *drawn))
    judging = residual.TorchResidualDiscriminator(**_fields(discriminator, *judged))
    return (drawing, Layout(to_map='4x4_dense')), (judging, Layout())


def _fields(network: Generator | Discriminator, *names: str) -> dict[str, int]:
    return {name: getattr(network, name) for name in names}


CREATE = {'progressive': _create_progressive, 'dcgan': _create_dcgan, 'residual': _create_residual}
