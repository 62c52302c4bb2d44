"""Detectors whose worst case is known, or cheap to search for."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

COUNT, SHAPE = 6, (4, 5, 2)
BIAS = 0.3


def linear(weights, bias, images):
    return jnp.einsum('hwc,bhwc->b', weights, images) + bias


def bent(weights, images):
    """A small network of two layers."""
    return jnp.tanh(images.reshape(len(images), -1) @ weights[0] / 2) @ weights[1]


def draw(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


WEIGHTS = draw(0, *SHAPE)
LINEAR = Partial(linear, jnp.asarray(WEIGHTS), jnp.float32(BIAS))
BENT = Partial(bent, (jnp.asarray(draw(1, 40, 8)), jnp.asarray(draw(2, 8))))
LABELS = jnp.array([0, 1, 0, 1, 1, 0])
IMAGES = jnp.asarray(draw(3, COUNT, *SHAPE))
KEY = jax.random.key(5)


def logits(images):
    """Of the linear detector, in float64."""
    return (np.asarray(images, np.float64) * WEIGHTS).sum(axis=(1, 2, 3)) + BIAS


def worst_logits(images, labels, eps):
    """Of the linear detector, over the images that an attacker can reach."""
    low, high = (np.clip(np.asarray(images, np.float64) + change, -1, 1) for change in (-eps, eps))
    down = (np.asarray(labels) == 1)[:, None, None, None] == (WEIGHTS > 0)
    return logits(np.where(down, low, high))


def steps_from(images, levels):
    """Values in steps of the grid, which are integers on it."""
    return (np.asarray(images, np.float64) + 1) * (levels - 1) / 2
