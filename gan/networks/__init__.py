"""Generators and discriminators, of which `gan.families` makes pairs; all are called alike.

`generator.apply(variables, latents, labels, alpha, update_stats) -> images`, and
`discriminator.apply(variables, images, labels, alpha, update_stats) -> Verdict`.
"""

from gan.networks.biggan import BigGanDiscriminator, BigGanGenerator
from gan.networks.dcgan import DcganDiscriminator, DcganGenerator
from gan.networks.gran import GranGenerator
from gan.networks.heads import DiscriminatorOutput
from gan.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator, fade_reals, relative_cost
from gan.networks.residual import ResidualDiscriminator, ResidualGenerator
from gan.networks.stylegan import StyleGanGenerator
from gan.networks.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan.networks.styles import StyleGenerator

Generator = ProgressiveGenerator | DcganGenerator | ResidualGenerator | StyleGenerator | GranGenerator
Discriminator = ProgressiveDiscriminator | DcganDiscriminator | ResidualDiscriminator

__all__ = [
    'BigGanDiscriminator',
    'BigGanGenerator',
    'DcganDiscriminator',
    'DcganGenerator',
    'Discriminator',
    'DiscriminatorOutput',
    'Generator',
    'GranGenerator',
    'ProgressiveDiscriminator',
    'ProgressiveGenerator',
    'ResidualDiscriminator',
    'ResidualGenerator',
    'StyleGan2Discriminator',
    'StyleGan2Generator',
    'StyleGanGenerator',
    'StyleGenerator',
    'fade_reals',
    'relative_cost',
]
