"""Adversarial losses of GANs: what a discriminator and a generator make of the logits (higher: real)."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

Logits = Float[Array, 'batch']
Scalar = Float[Array, '']


def minimax_generator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[log(1 - sigmoid D(fake))], which is flat where D is sure (Goodfellow et al. 2014, equation 1)."""
    del real_logits
    return -jax.nn.softplus(fake_logits).mean()


def non_saturating_discriminator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """Binary cross-entropy of real against fake (Goodfellow et al. 2014, equation 1)."""
    return jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean()


def non_saturating_generator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """-E[log sigmoid D(fake)] (Goodfellow et al. 2014, section 3)."""
    del real_logits
    return jax.nn.softplus(-fake_logits).mean()


def wasserstein_discriminator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[D(fake)] - E[D(real)] (Arjovsky et al. 2017, arXiv:1701.07875)."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_generator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """-E[D(fake)]; also the generator's side of the hinge loss."""
    del real_logits
    return -fake_logits.mean()


def hinge_discriminator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))] (Lim and Ye 2017, arXiv:1705.02894)."""
    return jax.nn.relu(1 - real_logits).mean() + jax.nn.relu(1 + fake_logits).mean()


def least_squares_discriminator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[(D(real) - 1)^2] + E[D(fake)^2] (Mao et al. 2017, arXiv:1611.04076, equation 9, twice)."""
    return jnp.square(real_logits - 1).mean() + jnp.square(fake_logits).mean()


def least_squares_generator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[(D(fake) - 1)^2]."""
    del real_logits
    return jnp.square(fake_logits - 1).mean()


def relativistic_discriminator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[softplus(D(fake) - D(real))] of pairs (Jolicoeur-Martineau 2018, arXiv:1807.00734)."""
    return jax.nn.softplus(fake_logits - real_logits).mean()


def relativistic_generator(real_logits: Logits, fake_logits: Logits) -> Scalar:
    """E[softplus(D(real) - D(fake))] over pairs."""
    return jax.nn.softplus(real_logits - fake_logits).mean()


@dataclasses.dataclass(frozen=True)
class AdversarialLoss:
    """The two sides of a loss.

    Attributes:
      discriminator, generator: `loss(real_logits, fake_logits)`.
      middle: the logit about which labels can be exchanged; None where logits mean something in pairs alone.
      has_signs: the middle is where real and generated images are equally likely.
      has_labels: each logit has a label of its own, real or fake, in a cross-entropy: it can be softened.
      pairs: the generator's side looks at real images, too.
    """

    discriminator: Callable[[Logits, Logits], Scalar]
    generator: Callable[[Logits, Logits], Scalar]
    middle: float | None
    has_signs: bool = True
    has_labels: bool = False
    pairs: bool = False

    def exchange(self, logits: Logits, exchanged: Bool[Array, 'batch']) -> Logits:
        """A loss asks of a logit what it asks of the one mirrored at the middle under the opposite label."""
        return jnp.where(exchanged, 2 * (self.middle or 0.0) - logits, logits)


LOSSES = {
    'wasserstein': AdversarialLoss(wasserstein_discriminator, wasserstein_generator, middle=0.0, has_signs=False),
    'hinge': AdversarialLoss(hinge_discriminator, wasserstein_generator, middle=0.0),
    'non_saturating': AdversarialLoss(
        non_saturating_discriminator, non_saturating_generator, middle=0.0, has_labels=True
    ),
    'minimax': AdversarialLoss(non_saturating_discriminator, minimax_generator, middle=0.0, has_labels=True),
    'least_squares': AdversarialLoss(least_squares_discriminator, least_squares_generator, middle=0.5),
    'relativistic': AdversarialLoss(
        relativistic_discriminator, relativistic_generator, middle=None, has_signs=False, pairs=True
    ),
}

WITHOUT_PAIRS = tuple(name for name, loss in LOSSES.items() if not loss.pairs)


def drift(real_logits: Logits) -> Scalar:
    """E[D(real)^2], which keeps a Wasserstein critic from drifting off (PGGAN, appendix A.1)."""
    return jnp.square(real_logits).mean()


def class_loss(class_logits: Float[Array, 'batch classes'], labels: Int[Array, 'batch']) -> Scalar:
    """Cross-entropy of an auxiliary classifier, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(class_logits, labels).mean()
