"""The discriminator's gradient with a bounded part of each real image, and noise (DP-SGD: Abadi et al. 2016)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, UInt32

from foundation.training import parallel
from foundation.training.state import Params
from gan.updates import Found, Given

# `loss(params, given, shown) -> (value, Found)`
PairLoss = Callable[[dict[str, Params], Given, Any], tuple[Float[Array, ''], Found]]


@dataclasses.dataclass(frozen=True)
class PrivateGradient:
    """Clipped pair by pair, and noisy.

    A real image and the drawn one beside it are a pair, with all that the loss asks of the two. Images that are
    drawn need no protection. But if the real ones alone were clipped, the drawn ones would decide the gradient.

    Attributes:
      clip_norm: largest Euclidean norm of the gradient of a pair.
      noise_multiplier: standard deviation of the noise on their sum, in clip norms.
      expected: pairs of a batch on average, by which the sum is divided. How many there were is not told.
      mesh: over which batches are cut; None where they are not.
    """

    clip_norm: float
    noise_multiplier: float
    expected: float
    mesh: Mesh | None

    def differentiate(
        self, loss: PairLoss, params: dict[str, Params], given: Given, shown: Any
    ) -> tuple[dict[str, Params], Found]:
        """The gradient in `params`, and what is found beside it, of which metrics are not private.

        Args:
          loss: of a batch of pairs; statistics that it moves must depend on weights alone.
          params: that are trained.
          given: see there; the batch also has `valid` and `noise_key`, see `PoissonSampling`.
          shown: a named tuple of arrays (batch, ...), and the `key` of the loss.
        """
        batch, count = dict(given.batch), len(given.batch['image'])
        valid, noise_key = batch.pop('valid'), batch.pop('noise_key')[0]

        def lose(params: dict[str, Params], row: Any) -> tuple[Float[Array, ''], Found]:
            own_batch, own_shown = jax.tree.map(lambda array: array[None], row)
            own_shown = own_shown._replace(key=own_shown.key[0])
            return loss(params, given._replace(batch=own_batch), own_shown)

        rows = (batch, shown._replace(key=jax.random.split(shown.key, count)))
        total, (norms, found) = parallel.sum_rows(
            lambda params, cut: sum_clipped(lose, params, cut[0], cut[1], self.clip_norm), self.mesh
        )(params, (rows, valid))
        noisy = add_noise(total, noise_key, self.noise_multiplier * self.clip_norm)
        gradients = jax.tree.map(lambda leaf: leaf / self.expected, noisy)
        share = valid / jnp.maximum(valid.sum(), 1)
        metrics = {name: jnp.sum(jnp.where(valid, value, 0) * share) for name, value in found.metrics.items()}
        metrics['clipped'] = jnp.sum((norms > self.clip_norm) * share)
        model_states = jax.tree.map(lambda leaf: leaf[0], found.model_states)
        return gradients, Found(model_states, metrics)


def sum_clipped(
    lose: Callable[[PyTree, PyTree], tuple[Float[Array, ''], Any]],
    params: PyTree,
    rows: PyTree,
    valid: Bool[Array, 'batch'],
    clip_norm: float,
) -> tuple[PyTree, tuple[Float[Array, 'batch'], Any]]:
    """The sum of the gradients of single rows, each scaled down to `clip_norm` where it is longer.

    Args:
      lose: `lose(params, row) -> (value, found)`.
      params: to differentiate by.
      rows: arrays (batch, ...).
      valid: False where a row is padding, which adds nothing, whatever stands there.
      clip_norm: Euclidean, of all parameters together. What is not finite counts as 0.

    Returns:
      The sum, the norms before clipping, and what was found of each row.
    """
    gradients, found = jax.vmap(jax.grad(lose, has_aux=True), in_axes=(None, 0))(params, rows)
    gradients = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 0).astype(jnp.float32), gradients)
    norms = jax.vmap(optax.tree.norm)(gradients)
    factors = jnp.where(valid, jnp.minimum(1.0, clip_norm / jnp.maximum(norms, jnp.finfo(jnp.float32).tiny)), 0)
    # An infinite norm makes a factor of 0. The gradients are finite, so that what is padding adds 0.
    total = jax.tree.map(lambda leaf: jnp.tensordot(factors, leaf, axes=1), gradients)
    return total, (norms, found)


def add_noise(tree: PyTree, key_data: UInt32[Array, '2'], deviation: float) -> PyTree:
    """A tree with independent numbers from N(0, deviation^2) on all that is in it."""
    key: PRNGKeyArray = jax.random.wrap_key_data(key_data, impl='threefry2x32')
    noise = optax.tree.random_like(key, tree, jax.random.normal)
    return jax.tree.map(lambda leaf, own: leaf + deviation * own, tree, noise)


def hide_reals(num_classes: int, given: Given) -> Given:
    """What an update is given that must not see the data: no images, and labels by chance, all equally likely."""
    images = given.batch['image']
    labels = jax.random.randint(jax.random.fold_in(given.key, 1), images.shape[:1], 0, max(num_classes, 1))
    return given._replace(batch={'image': jnp.zeros_like(images), 'label': labels})
