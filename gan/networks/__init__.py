"""Generators and discriminators, of which `gan.families` makes pairs; all are called alike.

`generator.apply(variables, latents, labels, alpha, update_stats) -> images`, and
`discriminator.apply(variables, images, labels, alpha, update_stats) -> Verdict`.
"""

from gan.networks.dcgan import DcganDiscriminator, DcganGenerator
from gan.networks.heads import DiscriminatorOutput
from gan.networks.perceptron import PerceptronDiscriminator, PerceptronGenerator
from gan.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator, fade_reals, relative_cost
from gan.networks.r3gan import R3ganDiscriminator, R3ganGenerator
from gan.networks.residual import ResidualDiscriminator, ResidualGenerator

Generator = ProgressiveGenerator | DcganGenerator | ResidualGenerator | PerceptronGenerator | R3ganGenerator
Discriminator = (
    ProgressiveDiscriminator
    | DcganDiscriminator
    | ResidualDiscriminator
    | PerceptronDiscriminator
    | R3ganDiscriminator
)

__all__ = [
    'DcganDiscriminator',
    'DcganGenerator',
    'Discriminator',
    'DiscriminatorOutput',
    'Generator',
    'PerceptronDiscriminator',
    'PerceptronGenerator',
    'ProgressiveDiscriminator',
    'ProgressiveGenerator',
    'R3ganDiscriminator',
    'R3ganGenerator',
    'ResidualDiscriminator',
    'ResidualGenerator',
    'fade_reals',
    'relative_cost',
]
