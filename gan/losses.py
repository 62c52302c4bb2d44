"""Losses of GANs, penalties on discriminators, and the objective that a config composes of them."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from gan.networks import DiscriminatorOutput

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


PENALTIES = ('gradient', 'zero_centred', 'none')


@dataclasses.dataclass(frozen=True)
class Objective:
    """Choices and weights; see `losses`.

    Attributes:
      name: the adversarial loss.
      penalty: `gradient` (WGAN-GP), `zero_centred` (R1) or `none`.
      penalty_weight: factor of the penalty.
      penalty_target: gradient norm that `gradient` asks for.
      penalty_every: the penalty enters each n-th step, n times as strong.
      drift_weight: factor of `losses.drift`.
      class_weight: factor of the cross-entropy of an auxiliary classifier, in both networks.
      label_smoothing: real images count as fake with this weight (one-sided; Salimans et al. 2016,
        arXiv:1606.03498, section 3.4).
      label_noise: share of the images whose label, real or fake, is exchanged for the discriminator.
      input_noise: standard deviation of Gaussian noise on all that the discriminator sees (Arjovsky and Bottou
        2017, arXiv:1701.04862).
      joint_batches: the discriminator sees real and fake images in one batch, which batch normalization feels.
    """

    name: str
    penalty: str
    penalty_weight: float
    penalty_target: float
    penalty_every: int
    drift_weight: float
    class_weight: float
    label_smoothing: float
    label_noise: float
    input_noise: float
    joint_batches: bool

    def __post_init__(self) -> None:
        if self.name not in GENERATOR_LOSSES:
            raise ValueError(f'loss.name is {self.name!r}; choose one of {sorted(GENERATOR_LOSSES)}.')
        if self.penalty not in PENALTIES:
            raise ValueError(f'loss.penalty is {self.penalty!r}; choose one of {sorted(PENALTIES)}.')
        if self.penalty == 'gradient' and self.penalty_target <= 0:
            raise ValueError(f'loss.penalty_target is {self.penalty_target}, but must be above 0.')
        if self.penalty_every < 1:
            raise ValueError(f'loss.penalty_every is {self.penalty_every}, but must be at least 1.')
        for name in ('label_smoothing', 'label_noise'):
            if not 0 <= getattr(self, name) < 0.5:
                raise ValueError(f'loss.{name} is {getattr(self, name)}, but must be at least 0 and below 0.5.')
        if self.label_smoothing and self.name != 'non_saturating':
            raise ValueError('loss.label_smoothing is for labels of a cross-entropy: loss.name = non_saturating.')
        if self.input_noise < 0:
            raise ValueError(f'loss.input_noise is {self.input_noise}, but must not be negative.')

    def discriminator_loss(
        self, real: DiscriminatorOutput, fake: DiscriminatorOutput, labels: Int[Array, 'batch'], key: PRNGKeyArray
    ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
        """Adversarial, drift and class loss, and what to log."""
        keys = jax.random.split(key)
        real_logits, fake_logits = self._confuse(real.logits, keys[0]), self._confuse(fake.logits, keys[1])
        loss = DISCRIMINATOR_LOSSES[self.name]
        adversarial = loss(real_logits, fake_logits)
        if self.label_smoothing:
            smoothing = self.label_smoothing
            adversarial = (1 - smoothing) * adversarial + smoothing * loss(-real_logits, fake_logits)
        metrics = {
            'discriminator_loss': adversarial,
            'real_logits': real.logits.mean(),
            'fake_logits': fake.logits.mean(),
            'real_signs': jnp.sign(real.logits).mean(),
        }
        total = adversarial + self.drift_weight * drift(real.logits)
        if real.class_logits.shape[-1]:
            metrics['real_class_loss'] = class_loss(real, labels)
            total += self.class_weight * metrics['real_class_loss']
        return total, metrics

    def generator_loss(
        self, fake: DiscriminatorOutput, labels: Int[Array, 'batch']
    ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
        """Adversarial and class loss, and what to log."""
        adversarial = GENERATOR_LOSSES[self.name](fake.logits)
        total, metrics = adversarial, {'generator_loss': adversarial}
        if fake.class_logits.shape[-1]:
            metrics['fake_class_loss'] = class_loss(fake, labels)
            total += self.class_weight * metrics['fake_class_loss']
        return total, metrics

    def penalise(
        self,
        critic: Critic,
        real: Float[Array, 'batch height width channel'],
        fake: Float[Array, 'batch height width channel'],
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
        """The weighted penalty of a step that has one, and what to log."""
        if self.penalty == 'gradient':
            penalty = gradient_penalty(critic, real, fake, key, self.penalty_target)
        else:
            penalty = zero_centred_penalty(critic, real)
        return self.penalty_weight * self.penalty_every * penalty, {'penalty': penalty}

    def _confuse(self, logits: Float[Array, 'batch'], key: PRNGKeyArray) -> Float[Array, 'batch']:
        """Logits under the labels that the discriminator is told."""
        if not self.label_noise:
            return logits
        return exchange(logits, jax.random.bernoulli(key, self.label_noise, logits.shape))


def exchange(logits: Float[Array, 'batch'], exchanged: Bool[Array, 'batch']) -> Float[Array, 'batch']:
    """Every loss asks of a logit what it asks of the opposite label's negative."""
    return jnp.where(exchanged, -logits, logits)


def class_loss(verdict: DiscriminatorOutput, labels: Int[Array, 'batch']) -> Float[Array, '']:
    """Cross-entropy of an auxiliary classifier, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(verdict.class_logits, labels).mean()
