"""The probability of augmentation, set by how far the discriminator overfits (ADA: Karras et al. 2020)."""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

# A scalar; any leaf will do, since JAX also builds states of shapes, shardings and the like.
Leaf = PyTree


@flax.struct.dataclass
class AdaptiveState:
    """What the adaptive probability goes on from.

    Attributes:
      probability: of each operation for each image, in [0, 1]; float32.
      sign_sum: sum over batches of the mean sign of the logits of real images; float32.
      count: batches in that sum; int32.
    """

    probability: Leaf
    sign_sum: Leaf
    count: Leaf


def start(probability: float) -> AdaptiveState:
    """The state before the first batch.

    Raises:
      ValueError: when `probability` is not within 0 and 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f'The probability of augmentation is {probability}, but must be from 0 to 1.')
    return AdaptiveState(
        probability=jnp.asarray(probability, jnp.float32),
        sign_sum=jnp.zeros((), jnp.float32),
        count=jnp.zeros((), jnp.int32),
    )


def adapt(
    state: AdaptiveState, real_logits: Float[Array, 'batch'], *, target: float, every: int, images: float
) -> AdaptiveState:
    """The state after one more batch (arXiv:2006.06676, section 3.1).

    r_t = E[sign(D(real))] is 0 for a discriminator that cannot tell its training images from generated ones, and
    1 for one that knows them all. The logits must be 0 where real and generated are equally likely: true of the
    hinge and non-saturating losses, not of a Wasserstein critic.

    Args:
      state: the state so far.
      real_logits: of the augmented real images; those not finite do not count, nor does a batch of none else.
      target: r_t above which the probability rises; below, or at it, the probability falls. The paper: 0.6.
      every: batches between two changes of the probability. The paper: 4.
      images: number of images in which the probability can go from 0 to 1. The paper: 500,000.
    """
    finite = jnp.isfinite(real_logits)
    signs = jnp.where(finite, jnp.sign(real_logits), 0).astype(jnp.float32)
    counted = finite.sum()
    sign_sum = state.sign_sum + signs.sum() / jnp.maximum(counted, 1)
    count = state.count + (counted > 0).astype(jnp.int32)

    due = count >= every
    step = real_logits.shape[0] * every / images
    change = jnp.where(sign_sum > target * count, step, -step)
    return AdaptiveState(
        probability=jnp.where(due, jnp.clip(state.probability + change, 0, 1), state.probability),
        sign_sum=jnp.where(due, 0, sign_sum),
        count=jnp.where(due, 0, count),
    )
