"""Adversarial images for training, made inside the compiled step (Madry et al. 2018, arXiv:1706.06083)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Images = Float[Array, 'batch height width channel']


def adversarial_images(
    loss_of_images: Callable[[Images], Float[Array, '']],
    images: Images,
    key: PRNGKeyArray,
    *,
    eps: float,
    steps: int,
) -> Images:
    """Images within eps of those given, from a random start, with a larger loss; no gradient passes through them.

    Few steps are taken, unrolled. A step is 2.5 eps / steps, but at most 1.25 eps, as larger single steps overfit
    to themselves (Wong et al. 2020, arXiv:2001.03994).

    Args:
      loss_of_images: mean loss of a batch, with the parameters and labels of the training step.
      images: in [-1, 1].
      key: decides the start.
      eps: largest change of a value, in units of the images.
      steps: gradients of the loss; each costs as much as that of the training step.
    """
    low, high = jnp.clip(images - eps, -1, 1), jnp.clip(images + eps, -1, 1)
    size = min(2.5 / steps, 1.25) * eps
    adversarial = low + (high - low) * jax.random.uniform(key, images.shape)
    for _ in range(steps):
        gradients = jax.grad(loss_of_images)(adversarial)
        adversarial = jnp.clip(adversarial + size * jnp.sign(gradients), low, high)
    return jax.lax.stop_gradient(adversarial)
