"""Every architecture that a config can name, in one table."""

from gan.families import biggan
from gan.families.aae import AAE, choose_labelled
from gan.families.bigan import BIGAN
from gan.families.cyclegan import CYCLEGAN
from gan.families.family import WITHOUT_MAPS, Coded, Family, pair
from gan.families.infogan import INFOGAN
from gan.families.lapgan import LAPGAN
from gan.families.pix2pix import PIX2PIX
from gan.families.stargan import STARGAN
from gan.families.stylegan2 import style_updates
from gan.networks import (
    BigGanDiscriminator,
    BigGanGenerator,
    DcganDiscriminator,
    DcganGenerator,
    GranGenerator,
    PerceptronDiscriminator,
    PerceptronGenerator,
    ProgressiveDiscriminator,
    ProgressiveGenerator,
    R3ganDiscriminator,
    R3ganGenerator,
    ResidualDiscriminator,
    ResidualGenerator,
    StyleGan2Discriminator,
    StyleGan2Generator,
    StyleGanGenerator,
)

FAMILIES: dict[str, Family] = {
    'progressive': pair(ProgressiveGenerator, ProgressiveDiscriminator, grows=True, smallest=4),
    'dcgan': pair(DcganGenerator, DcganDiscriminator),
    'residual': pair(ResidualGenerator, ResidualDiscriminator),
    'perceptron': pair(PerceptronGenerator, PerceptronDiscriminator, smallest=4, allows=WITHOUT_MAPS),
    'r3gan': pair(R3ganGenerator, R3ganDiscriminator),
    'biggan': pair(BigGanGenerator, BigGanDiscriminator, fits=biggan.fits),
    'stylegan': pair(StyleGanGenerator, ProgressiveDiscriminator, grows=True),
    'stylegan2': pair(
        StyleGan2Generator,
        StyleGan2Discriminator,
        updates=style_updates,
        repeats=lambda family: family['path_every'],
    ),
    'gran': pair(GranGenerator, DcganDiscriminator),
    'infogan': INFOGAN,
    'bigan': BIGAN,
    'aae': AAE,
    'lapgan': LAPGAN,
    'cyclegan': CYCLEGAN,
    'pix2pix': PIX2PIX,
    'stargan': STARGAN,
}

__all__ = ['FAMILIES', 'Coded', 'Family', 'choose_labelled', 'family', 'methods', 'pair']
