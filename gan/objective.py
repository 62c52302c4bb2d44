"""What a generator and a discriminator are trained for: a loss and a penalty with their weights."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gan.losses import LOSSES, AdversarialLoss, Logits, Scalar, class_loss, drift
from gan.networks import DiscriminatorOutput
from gan.penalties import SLOPES, Images, gradient_penalty, zero_centred_penalty

Labels = Int[Array, 'batch']
PENALTIES = ('gradient', 'zero_centred', 'zero_centred_fake', 'zero_centred_both', 'none')


@dataclasses.dataclass(frozen=True)
class Objective:
    """Choices and weights; see `losses` and `penalties`.

    Attributes:
      name: the adversarial loss.
      penalty: `gradient` (WGAN-GP), `zero_centred` (R1), `zero_centred_fake` (R2), `zero_centred_both`, or `none`.
      penalty_weight: factor of the penalty.
      penalty_target: gradient norm that `gradient` asks for.
      penalty_every: the penalty enters each n-th step, n times as strong.
      penalty_slope: of the zero-centred penalties: `exact`, or by `differences`, without second derivatives.
      penalty_share: of the batch's images whose slope is penalised.
      orthogonal_weight: factor of `penalties.orthogonal_penalty` of the generator.
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
    penalty_slope: str
    penalty_share: float
    orthogonal_weight: float
    drift_weight: float
    class_weight: float
    label_smoothing: float
    label_noise: float
    input_noise: float
    joint_batches: bool

    def __post_init__(self) -> None:
        for name, choices in (('name', LOSSES), ('penalty', PENALTIES), ('penalty_slope', SLOPES)):
            if getattr(self, name) not in choices:
                raise ValueError(f'loss.{name} is {getattr(self, name)!r}; choose one of {sorted(choices)}.')
        self._check_penalty()
        for name in ('label_smoothing', 'label_noise'):
            if not 0 <= getattr(self, name) < 0.5:
                raise ValueError(f'loss.{name} is {getattr(self, name)}, but must be at least 0 and below 0.5.')
        if self.label_smoothing and not self.loss.has_labels:
            names = ' or '.join(name for name, loss in LOSSES.items() if loss.has_labels)
            raise ValueError(f'loss.label_smoothing is for labels of a cross-entropy: loss.name = {names}.')
        if self.label_noise and self.loss.middle is None:
            raise ValueError(f'loss.label_noise needs labels, which loss.name = {self.name} has not; set it to 0.')
        if self.input_noise < 0:
            raise ValueError(f'loss.input_noise is {self.input_noise}, but must not be negative.')

    def _check_penalty(self) -> None:
        if self.penalty == 'gradient' and self.penalty_target <= 0:
            raise ValueError(f'loss.penalty_target is {self.penalty_target}, but must be above 0.')
        if self.penalty == 'gradient' and self.penalty_slope != 'exact':
            raise ValueError(
                f'loss.penalty_slope is {self.penalty_slope!r}, which estimates squares of slopes; loss.penalty '
                "'gradient' asks for the slope itself: choose another penalty, or 'exact'."
            )
        if self.penalty_every < 1:
            raise ValueError(f'loss.penalty_every is {self.penalty_every}, but must be at least 1.')
        if not 0 < self.penalty_share <= 1:
            raise ValueError(f'loss.penalty_share is {self.penalty_share}, but must be above 0 and at most 1.')

    @property
    def penalty_period(self) -> int:
        """Steps from one penalty to the next; 0 without."""
        return self.penalty_every if self.penalty != 'none' else 0

    @property
    def reals_per_image(self) -> int:
        """Real images that a step takes for each one it counts: losses of pairs have others for the generator."""
        return 2 if self.loss.pairs else 1

    @property
    def loss(self) -> AdversarialLoss:
        """The adversarial loss itself."""
        return LOSSES[self.name]

    def discriminator_loss(
        self, real: DiscriminatorOutput, fake: DiscriminatorOutput, labels: Labels, key: PRNGKeyArray
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """Adversarial, drift and class loss, and what to log."""
        keys = jax.random.split(key)
        real_logits, fake_logits = self._confuse(real.logits, keys[0]), self._confuse(fake.logits, keys[1])
        loss = self.loss.discriminator
        adversarial = loss(real_logits, fake_logits)
        if self.label_smoothing:
            smoothing = self.label_smoothing
            adversarial = (1 - smoothing) * adversarial + smoothing * loss(-real_logits, fake_logits)
        metrics = {
            'discriminator_loss': adversarial,
            'real_logits': real.logits.mean(),
            'fake_logits': fake.logits.mean(),
            'real_signs': jnp.sign(self.sureness(real)).mean(),
        }
        total = adversarial + self.drift_weight * drift(real.logits)
        if real.class_logits.shape[-1]:
            metrics['real_class_loss'] = class_loss(real.class_logits, labels)
            total += self.class_weight * metrics['real_class_loss']
        return total, metrics

    def generator_loss(
        self, fake: DiscriminatorOutput, labels: Labels, real: DiscriminatorOutput | None = None
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """Adversarial and class loss, and what to log; `real` for losses of pairs."""
        adversarial = self.loss.generator((fake if real is None else real).logits, fake.logits)
        total, metrics = adversarial, {'generator_loss': adversarial}
        if fake.class_logits.shape[-1]:
            metrics['fake_class_loss'] = class_loss(fake.class_logits, labels)
            total += self.class_weight * metrics['fake_class_loss']
        return total, metrics

    def sureness(self, output: DiscriminatorOutput) -> Logits:
        """Logits from the middle between real and fake on."""
        return output.logits - self.loss.middle if self.loss.middle else output.logits

    def penalise(
        self,
        critic: Callable[[Images, Labels], Logits],
        real: Images,
        fake: Images,
        labels: Labels,
        key: PRNGKeyArray,
        logits: tuple[Logits, Logits] | None = None,
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """The weighted penalty of a step that has one, and what to log.

        Args:
          critic: `critic(images, labels)`.
          real, fake, labels: of the batch.
          key: of the penalty's randomness.
          logits: the critic's of real and of fake images, where they are known.
        """
        real, fake, labels = (_take_share(array, self.penalty_share) for array in (real, fake, labels))
        known = logits or (None, None)
        real_logits, fake_logits = (
            each if each is None else _take_share(each, self.penalty_share) for each in known
        )
        factor = self.penalty_weight * self.penalty_every

        def critic_of_share(images: Images) -> Logits:
            return critic(images, labels)

        if self.penalty == 'gradient':
            penalty = gradient_penalty(critic_of_share, real, fake, key, self.penalty_target)
            return factor * penalty, {'penalty': penalty}
        both = {'zero_centred': (real, real_logits), 'zero_centred_fake': (fake, fake_logits)}
        places = list(both.values()) if self.penalty == 'zero_centred_both' else [both[self.penalty]]
        slopes, penalty = SLOPES[self.penalty_slope], jnp.zeros(())
        for own_key, (images, own_logits) in zip(jax.random.split(key, len(places)), places, strict=True):
            penalty += zero_centred_penalty(slopes, critic_of_share, images, own_key, own_logits)
        return factor * penalty, {'penalty': penalty}

    def _confuse(self, logits: Float[Array, 'batch'], key: PRNGKeyArray) -> Float[Array, 'batch']:
        """Logits under the labels that the discriminator is told."""
        if not self.label_noise:
            return logits
        return self.loss.exchange(logits, jax.random.bernoulli(key, self.label_noise, logits.shape))


def _take_share(array: Array, share: float) -> Array:
    """So much of a batch, at least one row, from all over it: every device has its part."""
    count = max(1, round(len(array) * share))
    return array if count == len(array) else array[np.arange(count) * len(array) // count]
