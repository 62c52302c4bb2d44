"""Standing statistics: batch normalization with those of images drawn as they will be drawn.

Brock et al. 2019, arXiv:1809.11096, appendix: the running averages of training are those of whole latents and of
weights that moved; truncated latents have others.
"""

import dataclasses
import math
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from foundation.training.errors import UserError
from foundation.training.state import Variables
from gan.generator import TrainedGenerator, Weights
from gan.latents import draw_latents
from gan.layers import BATCH_STATS, MOMENTUM
from gan.sampler import labels_in_turn

BATCHES = 50  # of standing statistics, where nobody asks for others
_BATCH_SIZE = 64
_SEED = 0  # of their latents: what is drawn with them shall not depend on anything else


def suit_statistics(trained: TrainedGenerator, truncation: float) -> TrainedGenerator:
    """The generator with standing statistics where latents are truncated and its statistics are of whole ones."""
    if truncation == math.inf or BATCH_STATS not in trained.weights.variables:
        return trained
    return with_standing_statistics(trained, truncation)


def with_standing_statistics(
    trained: TrainedGenerator,
    truncation: float,
    *,
    batches: int = BATCHES,
    batch_size: int = _BATCH_SIZE,
    seed: int = _SEED,
) -> TrainedGenerator:
    """The same generator, its statistics the means over batches of truncated latents, classes in turn.

    Args:
      trained: with batch normalization whose statistics are tracked.
      truncation: of the latents; infinite for none.
      batches: how many.
      batch_size: images of each.
      seed: of the latents.

    Raises:
      UserError: when it has no such statistics.
    """
    network, variables = trained.network, trained.weights.variables
    if BATCH_STATS not in variables:
        raise UserError('--standing is for batch normalization, which this generator does not have; leave it out.')
    start = {**variables, BATCH_STATS: jax.tree.map(jnp.zeros_like, variables[BATCH_STATS])}
    labels = jnp.asarray(labels_in_turn(batch_size, trained.image_format.num_classes, None))
    own = [name for name in variables if name != 'params']

    @jax.jit
    def measure(variables: Variables, key: jax.Array) -> Variables:
        size, distribution = network.latent_size, network.latent_distribution
        latents = draw_latents(key, batch_size, size, distribution, truncation)
        draw = partial(network.apply, update_stats=True, mutable=own)
        _, moved = draw(variables, latents, labels, trained.weights.alpha)
        # From 0 the running statistics have moved by this share of the batch's own.
        return jax.tree.map(lambda leaf: leaf / (1 - MOMENTUM), moved[BATCH_STATS])

    total = None
    for key in jax.random.split(jax.random.key(seed), batches):
        found = measure(start, key)
        total = found if total is None else jax.tree.map(jnp.add, total, found)
    means: Mapping = jax.tree.map(lambda leaf: np.asarray(leaf / batches), total)
    weights = Weights({**variables, BATCH_STATS: means}, trained.weights.alpha)
    return dataclasses.replace(trained, weights=weights)
