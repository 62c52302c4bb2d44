"""The discriminators' last layer: a logit for real, and what is said about the class."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from foundation.training.state import Variables
from gan.layers import BOUNDED, Dense, Scaling

CONDITIONS = ('projection', 'auxiliary')


class DiscriminatorOutput(NamedTuple):
    """What a discriminator says of a batch.

    Attributes:
      logits: higher for real.
      class_logits: of an auxiliary classifier; no columns where there is none.
    """

    logits: Float[Array, 'batch']
    class_logits: Float[Array, 'batch classes']


def judge(
    discriminator: nn.Module, variables: Variables, *inputs: Array, **options: Any
) -> tuple[DiscriminatorOutput, Float[Array, 'batch feature']]:
    """What a discriminator that keeps its last features says, and these features."""
    verdict, kept = discriminator.apply(variables, *inputs, mutable=['intermediates'], **options)
    return verdict, kept['intermediates']['features'][0]


class Head(nn.Module):
    """Features to a verdict, in float32.

    Attributes:
      num_classes: 0 without condition.
      condition: how the class enters: `projection`, as <embedding of the class, features> beside the logit (Miyato
        and Koyama 2018, arXiv:1802.05637), or `auxiliary`, by a classifier on the same features (Odena et al.
        2017, arXiv:1610.09585).
      scaling: of the weights; see `layers`.
    """

    num_classes: int
    condition: str
    scaling: Scaling

    @nn.compact
    def __call__(
        self, features: Float[Array, 'batch feature'], labels: Int[Array, 'batch'], update_stats: bool = False
    ) -> DiscriminatorOutput:
        features = features.astype(jnp.float32)
        logits = Dense(1, gain=1.0, scaling=self.scaling, name='logits')(features, update_stats)[:, 0]
        class_logits = jnp.zeros((features.shape[0], 0))
        if self.num_classes and self.condition == 'auxiliary':
            classify = Dense(self.num_classes, gain=1.0, scaling=self._classifier_scaling(), name='class_logits')
            class_logits = classify(features, update_stats)
        elif self.num_classes:
            logits += self._project(features, labels, update_stats)
        return DiscriminatorOutput(logits, class_logits)

    def _project(self, features: Array, labels: Array, update_stats: bool) -> Float[Array, 'batch']:
        """<embedding of the class, features>, as strong as the logits without condition."""
        width, bounded = features.shape[-1], self.scaling in BOUNDED
        embed = Dense(
            width,
            gain=self.num_classes**0.5,
            scaling=self.scaling,
            use_bias=False,
            name='class_embedding',
        )
        embedding = embed(jax.nn.one_hot(labels, self.num_classes), update_stats)
        return (1.0 if bounded else width**-0.5) * jnp.sum(embedding * features, axis=-1)

    def _classifier_scaling(self) -> Scaling:
        """A classifier needs no bound on its slope, and under one it cannot be sure of a class."""
        return 'plain' if self.scaling in BOUNDED else self.scaling
