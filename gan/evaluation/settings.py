"""What a trained generator can be set to: a truncation; of GRAN the strokes, of LAPGAN the level."""

import dataclasses
import math
from collections.abc import Sequence

from foundation.training.errors import UserError
from gan.generator import TrainedGenerator
from gan.networks import GranGenerator, LaplacianGenerator, StyleGenerator
from gan.sampler import check_truncation

_SHARES = (0.25, 0.5, 0.75, 1.0)  # of the way to an image's own style
_LIMITS = (0.5, 1.0, 1.5, 2.0, math.inf)  # of normal latents


@dataclasses.dataclass(frozen=True)
class Setting:
    """A generator as it is set.

    Attributes:
      name: of the setting, for people.
      trained: the generator.
      truncation: see `check_truncation`; infinite for none.
    """

    name: str
    trained: TrainedGenerator
    truncation: float = math.inf


def find_settings(trained: TrainedGenerator, truncations: Sequence[float]) -> tuple[str, list[Setting]]:
    """What is set, and the settings from the least to all.

    Args:
      trained: the generator.
      truncations: that are wanted; empty for some that suit it.

    Raises:
      UserError: when it cannot be truncated so, and has no strokes and no levels.
    """
    network = trained.network
    if isinstance(network, GranGenerator) and not truncations:
        return 'strokes', [
            Setting(f'{steps} of {network.steps}', _replace(trained, steps=steps))
            for steps in range(1, network.steps + 1)
        ]
    if isinstance(network, LaplacianGenerator) and not truncations:
        first = network.latent_size - sum(side**2 for side in network.sides[1:])
        sizes = [
            first + sum(side**2 for side in network.sides[1 : level + 1]) for level in range(len(network.sides))
        ]
        return 'levels', [
            Setting(f'{side}x{side}', _replace(trained, resolution=side, latent_size=size))
            for side, size in zip(network.sides, sizes, strict=True)
        ]
    wanted = truncations or (_SHARES if isinstance(network, StyleGenerator) else _LIMITS)
    try:
        for truncation in wanted:
            check_truncation(network, truncation)
    except UserError as error:
        raise error if truncations else UserError(f'There is nothing to sweep. {error}') from error
    return 'truncation', [
        Setting(f'{limit:g}' if limit < math.inf else 'none', trained, limit) for limit in sorted(wanted)
    ]


def _replace(trained: TrainedGenerator, **fields: int) -> TrainedGenerator:
    """With another network, which reads the weights that it has of these."""
    return dataclasses.replace(trained, network=trained.network.clone(**fields))
