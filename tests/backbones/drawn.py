"""Weights that any framework draws alike, by the names of torchvision and pytorch-fid."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from backbones.weights import naming


def uniform(name, shape):
    """Numbers in [-1, 1) that follow from a name."""
    turns = np.sin(np.arange(np.prod(shape)) * 12.9898 + zlib.crc32(name.encode()) % 1000) * 43758.5453
    return (2 * (turns - np.floor(turns)) - 1).reshape(shape)


def shapes(network, rules):
    """Of all variables of a network for images in colour, by name."""
    image = jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.float32)
    leaves = traverse_util.flatten_dict(jax.eval_shape(network.init, jax.random.key(0), image))
    return {naming.translate(path, rules): _torch_shape(leaf.shape) for path, leaf in leaves.items()}


def state_dict(network, rules):
    """Float32 tensors by name, of sizes at which activations neither vanish nor explode."""
    return {name: _draw(name, shape).astype(np.float32) for name, shape in shapes(network, rules).items()}


def _torch_shape(shape):
    return shape[::-1] if len(shape) < 4 else (shape[3], shape[2], *shape[:2])


def _draw(name, shape):
    drawn = uniform(name, shape)
    if len(shape) > 1:
        return drawn * np.sqrt(3 / np.prod(shape[1:]))
    return 0.5 * drawn + (name.endswith(('weight', 'running_var')))
