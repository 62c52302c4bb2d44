"""The generative adversarial metric: each model's discriminator against the other's generator.

Im et al. 2016, arXiv:1602.05110: who fools whom, without any features. It needs discriminators whose
sign says real or generated, and compares what was trained, networks and time together.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

SIMILAR = 1.1  # largest ratio of errors on real images of discriminators that are alike
Logits = Float[np.ndarray, ' count']


@dataclasses.dataclass(frozen=True)
class ErrorShares:
    """How often a model's discriminator is wrong.

    Attributes:
      real: share of held-out real images that it takes for generated ones.
      generated: by model, share of its generated images that it takes for real ones.
    """

    real: float
    generated: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Battle:
    """Two models against each other.

    Attributes:
      test_ratio: errors of the first discriminator on real images over those of the second.
      sample_ratio: errors of the first on the second's images over those of the second on the first's.
      winner: the first or the second model by name; '' for a tie, or where the discriminators are not alike.
    """

    test_ratio: float
    sample_ratio: float
    winner: str


def error_shares(real: Logits, generated: dict[str, Logits]) -> ErrorShares:
    """Errors of a discriminator from its logits less their middle, which are above 0 for real; 0 counts half."""
    return ErrorShares(_share_above(-real), {name: _share_above(each) for name, each in generated.items()})


def fight(first: str, second: str, judged: dict[str, ErrorShares]) -> Battle:
    """The verdict on two models: a winner needs discriminators that are alike."""
    one, other = judged[first], judged[second]
    test = _ratio(one.real, other.real)
    sample = _ratio(one.generated[second], other.generated[first])
    if sample == 1 or not 1 / SIMILAR <= test <= SIMILAR:
        return Battle(test, sample, '')
    return Battle(test, sample, first if sample < 1 else second)


def _share_above(logits: Logits) -> float:
    return float(((logits > 0) + 0.5 * (logits == 0)).mean())


def _ratio(first: float, second: float) -> float:
    """Of two shares; 1 where both are 0."""
    if second == 0:
        return 1.0 if first == 0 else math.inf
    return first / second
