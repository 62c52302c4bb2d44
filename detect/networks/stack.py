"""The network for stacks: a recurrent network over the features of slices, and attention over its states."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class StackDetector(nn.Module):
    """Features of the slices of a stack to one logit, and to the weight of each slice in it.

    A gated recurrent network reads the slices in both directions; attention pools its states (Ilse et al. 2018,
    arXiv:1802.04712, equation 8), so that a few altered slices among many are not averaged away.

    Attributes:
      width: of the recurrent state in each direction, and of the attention.
    """

    width: int

    @nn.compact
    def __call__(
        self, features: Float[Array, 'batch slice feature'], valid: Bool[Array, 'batch slice']
    ) -> tuple[Float[Array, ' batch'], Float[Array, 'batch slice']]:
        """Judges stacks.

        Args:
          features: of each slice, from first to last, then padding.
          valid: False for padding.

        Returns:
          Logits, above 0 where the stack looks altered, and weights of the slices, which sum to 1.
        """
        x = nn.Dense(self.width, name='project')(nn.LayerNorm(name='norm')(features))
        forward, backward = nn.RNN(nn.GRUCell(self.width)), nn.RNN(nn.GRUCell(self.width))
        lengths = valid.sum(axis=1)
        states = nn.Bidirectional(forward, backward, name='recurrent')(x, seq_lengths=lengths)
        gated = jnp.tanh(nn.Dense(self.width, name='attend')(states)) * jax.nn.sigmoid(
            nn.Dense(self.width, name='gate')(states)
        )
        scores = nn.Dense(1, use_bias=False, name='score')(gated)[..., 0]
        weights = jax.nn.softmax(jnp.where(valid, scores, -jnp.inf), axis=1)
        pooled = jnp.einsum('ns,nsf->nf', weights, states)
        return nn.Dense(1, name='head')(pooled)[:, 0], weights


def sample_slices(count: int, wanted: int) -> list[int]:
    """Slices that stand for a stack: all of a short one, else `wanted` of them, evenly from first to last."""
    if count <= wanted:
        return list(range(count))
    return [round(place * (count - 1) / (wanted - 1)) for place in range(wanted)] if wanted > 1 else [count // 2]
