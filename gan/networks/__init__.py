"""Generators and discriminators, of which `gan.families` makes pairs; all are called alike.

`generator.apply(variables, latents, labels, alpha, update_stats) -> images`, and
`discriminator.apply(variables, images, labels, alpha, update_stats) -> Verdict`.
"""

from gan.networks.autoencoder import CodeDiscriminator, DenseDecoder
from gan.networks.dcgan import DcganDiscriminator, DcganGenerator
from gan.networks.heads import DiscriminatorOutput
from gan.networks.laplacian import LaplacianDiscriminator, LaplacianGenerator
from gan.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator, fade_reals, relative_cost
from gan.networks.residual import ResidualDiscriminator, ResidualGenerator

Generator = ProgressiveGenerator | DcganGenerator | ResidualGenerator | DenseDecoder | LaplacianGenerator
Discriminator = (
    ProgressiveDiscriminator
    | DcganDiscriminator
    | ResidualDiscriminator
    | CodeDiscriminator
    | LaplacianDiscriminator
)

__all__ = [
    'DcganDiscriminator',
    'DcganGenerator',
    'Discriminator',
    'DiscriminatorOutput',
    'Generator',
    'ProgressiveDiscriminator',
    'ProgressiveGenerator',
    'ResidualDiscriminator',
    'ResidualGenerator',
    'fade_reals',
    'relative_cost',
]
