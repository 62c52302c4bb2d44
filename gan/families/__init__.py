"""Every architecture that a config can name, in one table."""

from gan.families.family import Family, pair
from gan.networks import (
    DcganDiscriminator,
    DcganGenerator,
    ProgressiveDiscriminator,
    ProgressiveGenerator,
    ResidualDiscriminator,
    ResidualGenerator,
)

FAMILIES: dict[str, Family] = {
    'progressive': pair(ProgressiveGenerator, ProgressiveDiscriminator, grows=True, smallest=4),
    'dcgan': pair(DcganGenerator, DcganDiscriminator),
    'residual': pair(ResidualGenerator, ResidualDiscriminator),
}

__all__ = ['FAMILIES', 'Family', 'pair']
