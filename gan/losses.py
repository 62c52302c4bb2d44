"""Adversarial losses and penalties as independent pure functions. All take logits that are higher for real."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Logits = Float[Array, 'batch']
Scalar = Float[Array, '']
Critic = Callable[[Float[Array, 'batch height width channel']], Logits]


def wasserstein_discriminator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[D(fake)] - E[D(real)] (Arjovsky et al. 2017, arXiv:1701.07875)."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_generator(fake_logits: Logits) -> Scalar:
    """-E[D(fake)]; also the generator's side of the hinge loss."""
    return -fake_logits.mean()


def hinge_discriminator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))] (Lim and Ye 2017, arXiv:1705.02894)."""
    return jax.nn.relu(1 - real_logits).mean() + jax.nn.relu(1 + fake_logits).mean()


def non_saturating_discriminator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """Binary cross-entropy of real against fake (Goodfellow et al. 2014, equation 1)."""
    return jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean()


def non_saturating_generator(fake_logits: Logits) -> Scalar:
    """-E[log sigmoid D(fake)] (Goodfellow et al. 2014, section 3)."""
    return jax.nn.softplus(-fake_logits).mean()


DISCRIMINATOR_LOSSES: dict[str, Callable[[Logits, Logits], Scalar]] = {
    'wasserstein': wasserstein_discriminator,
    'hinge': hinge_discriminator,
    'non_saturating': non_saturating_discriminator,
}
GENERATOR_LOSSES: dict[str, Callable[[Logits], Scalar]] = {
    'wasserstein': wasserstein_generator,
    'hinge': wasserstein_generator,
    'non_saturating': non_saturating_generator,
}


def drift(real_logits: Logits) -> Scalar:
    """E[D(real)^2], which keeps a Wasserstein critic from drifting off (PGGAN, appendix A.1)."""
    return jnp.square(real_logits).mean()


def squared_gradient_norms(critic: Critic, images: Float[Array, 'batch height width channel']) -> Logits:
    """Squared Euclidean norm of the critic's gradient at each image."""
    gradients = jax.grad(lambda points: critic(points).sum())(images)
    return jnp.sum(jnp.square(gradients.astype(jnp.float32)), axis=(1, 2, 3))


def gradient_penalty(
    critic: Critic,
    real: Float[Array, 'batch height width channel'],
    fake: Float[Array, 'batch height width channel'],
    key: PRNGKeyArray,
    target: float,
) -> Scalar:
    """E[(|grad D(x)| - target)^2] / target^2 at one random mix x of each pair (Gulrajani et al. 2017, eq. 3).

    With the usual target of 1 this is WGAN-GP; PGGAN's CIFAR-10 run used 750.
    """
    mix = jax.random.uniform(key, (real.shape[0], 1, 1, 1), real.dtype)
    squared = squared_gradient_norms(critic, real + mix * (fake - real))
    # The constant keeps the square root differentiable where the critic is flat.
    return jnp.square(jnp.sqrt(squared + 1e-12) - target).mean() / target**2


def zero_centred_penalty(critic: Critic, real: Float[Array, 'batch height width channel']) -> Scalar:
    """E[|grad D(real)|^2] / 2: R1 (Mescheder et al. 2018, arXiv:1801.04406, equation 9)."""
    return squared_gradient_norms(critic, real).mean() / 2
