"""Every architecture that a config can name, in one table."""

from gan.families.aae import AAE, choose_labelled
from gan.families.bigan import BIGAN
from gan.families.family import Coded, Family, Side, pair
from gan.families.infogan import INFOGAN
from gan.families.lapgan import LAPGAN
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
    'infogan': INFOGAN,
    'bigan': BIGAN,
    'aae': AAE,
    'lapgan': LAPGAN,
}

__all__ = ['FAMILIES', 'Coded', 'Family', 'Side', 'choose_labelled', 'pair']
