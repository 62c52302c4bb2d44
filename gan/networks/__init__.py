"""Generators and discriminators, of which `gan.families` makes pairs; all are called alike.

`generator.apply(variables, latents, labels, alpha, update_stats) -> images`, and
`discriminator.apply(variables, images, labels, alpha, update_stats) -> Verdict`.
"""

from gan.networks.autoencoder import CodeDiscriminator, DenseDecoder
from gan.networks.biggan import BigGanDiscriminator, BigGanGenerator
from gan.networks.dcgan import DcganDiscriminator, DcganGenerator
from gan.networks.gran import GranGenerator
from gan.networks.heads import DiscriminatorOutput
from gan.networks.laplacian import LaplacianDiscriminator, LaplacianGenerator
from gan.networks.perceptron import PerceptronDiscriminator, PerceptronGenerator
from gan.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator, fade_reals, relative_cost
from gan.networks.r3gan import R3ganDiscriminator, R3ganGenerator
from gan.networks.residual import ResidualDiscriminator, ResidualGenerator
from gan.networks.stylegan import StyleGanGenerator
from gan.networks.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan.networks.styles import StyleGenerator, mix

Generator = (
    ProgressiveGenerator
    | DcganGenerator
    | ResidualGenerator
    | PerceptronGenerator
    | R3ganGenerator
    | StyleGenerator
    | GranGenerator
    | DenseDecoder
    | LaplacianGenerator
)
Discriminator = (
    ProgressiveDiscriminator
    | DcganDiscriminator
    | ResidualDiscriminator
    | PerceptronDiscriminator
    | R3ganDiscriminator
    | CodeDiscriminator
    | LaplacianDiscriminator
)

__all__ = [
    'BigGanDiscriminator',
    'BigGanGenerator',
    'DcganDiscriminator',
    'DcganGenerator',
    'Discriminator',
    'DiscriminatorOutput',
    'Generator',
    'GranGenerator',
    'LaplacianGenerator',
    'PerceptronDiscriminator',
    'PerceptronGenerator',
    'ProgressiveDiscriminator',
    'ProgressiveGenerator',
    'R3ganDiscriminator',
    'R3ganGenerator',
    'ResidualDiscriminator',
    'ResidualGenerator',
    'StyleGan2Discriminator',
    'StyleGan2Generator',
    'StyleGanGenerator',
    'StyleGenerator',
    'fade_reals',
    'mix',
    'relative_cost',
]
