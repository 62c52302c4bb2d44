"""Every architecture that a config can name, in one table."""

from gan.families.family import Family, pair
from gan.networks import (
    DcganDiscriminator,
    DcganGenerator,
    PerceptronDiscriminator,
    PerceptronGenerator,
    ProgressiveDiscriminator,
    ProgressiveGenerator,
    R3ganDiscriminator,
    R3ganGenerator,
    ResidualDiscriminator,
    ResidualGenerator,
)

FAMILIES: dict[str, Family] = {
    'progressive': pair(ProgressiveGenerator, ProgressiveDiscriminator, grows=True, smallest=4),
    'dcgan': pair(DcganGenerator, DcganDiscriminator),
    'residual': pair(ResidualGenerator, ResidualDiscriminator),
    'perceptron': pair(PerceptronGenerator, PerceptronDiscriminator, smallest=4),
    'r3gan': pair(R3ganGenerator, R3ganDiscriminator),
}

__all__ = ['FAMILIES', 'Family', 'family', 'methods', 'pair']
