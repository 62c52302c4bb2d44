"""Small networks, and recipes that train them, for tests."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from gan.annealing import Annealing
from gan.augmentation import DiscriminatorAugmentation
from gan.families import FAMILIES
from gan.families.family import Networks, pair_inputs
from gan.objective import Objective
from gan.state import GanState, create_state, draw_networks
from gan.step import Adaptation, Averaging, StepRecipe, create_cycle

LATENTS = 8
ADAM = (optax.adam(1e-3, 0.0, 0.99), optax.adam(1e-3, 0.0, 0.99))
_NO_ATTENTION = {'attention_resolution': 0, 'attention_chunk': 0}
_GENERATORS: dict[str, dict[str, Any]] = {
    'progressive': {'fmap_base': 64, 'fmap_max': 8, 'pixel_norm': True, **_NO_ATTENTION},
    'dcgan': {
        'class_embedding': 4,
        'last_width': 8,
        'max_width': 8,
        'kernel_size': 4,
        'batch_norm': True,
        'activation': 'relu',
    },
    'residual': {'last_width': 8, 'max_width': 8, 'spectral_norm': False, **_NO_ATTENTION},
    'perceptron': {'layers': 1, 'width': 16},
    'r3gan': {'class_embedding': 4, 'last_width': 8, 'max_width': 8, 'blocks': 1, 'group_size': 4},
    'biggan': {'class_embedding': 4, 'last_width': 8, 'max_width': 8, 'spectral_norm': True, **_NO_ATTENTION},
    'stylegan': {'style_size': 8, 'mixing': 0.9, 'fmap_base': 64, 'fmap_max': 8},
    'stylegan2': {'style_size': 8, 'mixing': 0.9, 'fmap_base': 64, 'fmap_max': 8},
    'gran': {
        'class_embedding': 4,
        'steps': 2,
        'hidden_size': 8,
        'last_width': 8,
        'max_width': 8,
        'kernel_size': 4,
    },
}
_DISCRIMINATORS: dict[str, dict[str, Any]] = {
    'progressive': {'fmap_base': 64, 'fmap_max': 8, 'spectral_norm': True, 'stddev_group': 4, **_NO_ATTENTION},
    'dcgan': {
        'layers': 1,
        'first_width': 8,
        'max_width': 8,
        'kernel_size': 4,
        'batch_norm': False,
        'dropout': 0.3,
    },
    'residual': {'first_width': 8, 'max_width': 8, 'spectral_norm': False, **_NO_ATTENTION},
    'perceptron': {'layers': 1, 'width': 8, 'pieces': 2, 'dropout': 0.3},
    'r3gan': {'first_width': 8, 'max_width': 8, 'blocks': 1, 'group_size': 4},
}
_DISCRIMINATORS |= {
    'biggan': _DISCRIMINATORS['residual'] | {'spectral_norm': True},
    'stylegan': _DISCRIMINATORS['progressive'] | {'spectral_norm': False},
    'stylegan2': _DISCRIMINATORS['progressive'] | {'spectral_norm': False},
    'gran': _DISCRIMINATORS['dcgan'],
}
_OPTIONS = {'stylegan2': {'path_weight': 0.0, 'path_decay': 0.01, 'path_every': 1, 'path_share': 0.5}}
PAIRS = tuple(sorted(_GENERATORS))  # architectures that there are small networks of
_OBJECTIVE: dict[str, Any] = {
    'penalty_weight': 10.0,
    'penalty_target': 1.0,
    'penalty_every': 1,
    'penalty_slope': 'exact',
    'penalty_share': 1.0,
    'orthogonal_weight': 0.0,
    'drift_weight': 1e-3,
    'class_weight': 1.0,
    'label_smoothing': 0.0,
    'label_noise': 0.0,
    'input_noise': 0.0,
    'joint_batches': False,
}


def create_networks(
    architecture: str = 'progressive',
    resolution: int = 8,
    *,
    num_classes: int = 0,
    channels: int = 1,
    condition: str = 'projection',
    generator: Mapping[str, Any] | None = None,
    discriminator: Mapping[str, Any] | None = None,
) -> Networks:
    """Both networks; `generator` and `discriminator` are fields that differ from the small defaults above."""
    shared = {
        'resolution': resolution,
        'channels': channels,
        'num_classes': num_classes,
        'dtype': jnp.dtype(jnp.float32),
    }
    latents = {'latent_size': LATENTS, 'latent_distribution': 'normal'}
    sections = {
        'generator': latents | _GENERATORS[architecture] | dict(generator or {}),
        'discriminator': {'condition': condition} | _DISCRIMINATORS[architecture] | dict(discriminator or {}),
    }
    return FAMILIES[architecture].create(sections, shared)


def create_objective(name: str = 'wasserstein', penalty: str = 'gradient', **changes) -> Objective:
    """An objective; `changes` are fields that differ from `_OBJECTIVE`."""
    return Objective(**{'name': name, 'penalty': penalty, **_OBJECTIVE, **changes})


def create_recipe(
    architecture: str = 'progressive',
    resolution: int = 8,
    *,
    objective: Objective | None = None,
    optimizers=ADAM,
    averaging: Averaging | None = None,
    operations: tuple[str, ...] = (),
    adaptation: Adaptation | None = None,
    discriminator_steps: int = 1,
    annealing: Annealing | None = None,
    options: Mapping[str, Any] | None = None,
    **networks,
) -> StepRecipe:
    """A recipe for small networks; `options` are fields of `family`, `networks` those of `create_networks`."""
    objective = objective or create_objective()
    return StepRecipe(
        networks=create_networks(architecture, resolution, **networks),
        optimizers=dict(zip(('generator', 'discriminator'), optimizers, strict=True)),
        objective=objective,
        averaging=averaging or Averaging(1000.0, 0.0),
        augmentation=DiscriminatorAugmentation(operations, 0),
        adaptation=adaptation,
        reals_per_image=objective.reals_per_image,
        discriminator_steps=discriminator_steps,
        annealing=annealing,
        options=_OPTIONS.get(architecture, {}) | dict(options or {}),
        create_updates=FAMILIES[architecture].updates,
    )


def create_batch(resolution=8, *, count=8, channels=1, num_classes=0, seed=0):
    generator = np.random.default_rng(seed)
    return {
        'image': jnp.asarray(generator.uniform(-1, 1, (count, resolution, resolution, channels)), jnp.float32),
        'label': jnp.asarray(np.arange(count) % max(num_classes, 1), jnp.int32),
    }


def controls(alpha=1.0, images_seen=0.0):
    return {'alpha': jnp.float32(alpha), 'images_seen': jnp.float32(images_seen)}


def create_start(recipe: StepRecipe, key: PRNGKeyArray, probability: float = 0.0) -> GanState:
    """A fresh state."""

    def create(key: PRNGKeyArray) -> GanState:
        inputs = pair_inputs(recipe.networks)
        networks = draw_networks(recipe.networks, inputs, recipe.optimizers, key)
        return create_state(networks, averaged=('generator',), augmentation_probability=probability)

    return jax.jit(create)(key)  # operation by operation it takes longer


def create_training(recipe: StepRecipe, seed=0, probability=0.0):
    """A fresh state, and the jitted steps of a cycle."""
    state = create_start(recipe, jax.random.key(seed), probability)
    return state, [jax.jit(step) for step in create_cycle(recipe)]
