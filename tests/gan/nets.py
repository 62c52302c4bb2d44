"""Small networks for tests."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan.networks import Discriminator, Generator
from gan.state import create_state
from gan.step import Averaging, Objective, create_cycle

LATENTS = 8
ADAM = (optax.adam(1e-3, 0.0, 0.99), optax.adam(1e-3, 0.0, 0.99))
SGD = (optax.sgd(0.01), optax.sgd(0.01))


def create_networks(
    resolution=8, *, spectral_norm=True, attention=0, num_classes=0, channels=1, chunk=0
) -> tuple[Generator, Discriminator]:
    shared: dict[str, Any] = {
        'resolution': resolution,
        'channels': channels,
        'num_classes': num_classes,
        'fmap_base': 64,
        'fmap_max': 8,
        'attention_resolution': attention,
        'attention_chunk': chunk,
        'dtype': jnp.dtype(jnp.float32),
    }
    generator = Generator(latent_size=LATENTS, pixel_norm=True, **shared)
    return generator, Discriminator(spectral_norm=spectral_norm, stddev_group=4, **shared)


def create_objective(name='wasserstein', penalty='gradient', every=1):
    return Objective(
        name=name,
        penalty=penalty,
        penalty_weight=10.0,
        penalty_target=1.0,
        penalty_every=every,
        drift_weight=1e-3,
    )


def create_batch(resolution=8, *, count=8, channels=1, num_classes=0, seed=0):
    generator = np.random.default_rng(seed)
    return {
        'image': jnp.asarray(generator.uniform(-1, 1, (count, resolution, resolution, channels)), jnp.float32),
        'label': jnp.asarray(np.arange(count) % max(num_classes, 1), jnp.int32),
    }


def controls(alpha=1.0, images_seen=0.0):
    return {'alpha': jnp.float32(alpha), 'images_seen': jnp.float32(images_seen)}


def create_training(networks, optimizers=ADAM, objective=None, seed=0):
    """A fresh state, and the jitted steps of a cycle."""
    objective = objective or create_objective()
    state = create_state(*networks, optimizers, jax.random.key(seed))
    cycle = create_cycle(*networks, optimizers, objective, Averaging(1000.0, 0.0))
    return state, [jax.jit(step) for step in cycle]
