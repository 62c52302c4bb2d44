"""GRAN for any size from 32 to 256 (Im et al. 2016, arXiv:1602.05110): a picture is the sum of several strokes.

    python -m gan.main --config=configs/gan/gran.py --workdir=runs/gran --config.data.name=NAME

Three strokes, each decoded from the latent and from an encoding of the stroke before; DCGAN's layers,
discriminator, loss and optimiser.

Deviations: batch normalization has statistics of its own in each step, with the same weights; images are tanh of
the sum, as all networks here draw in [-1, 1]. No Frechet distance of it has been published.

Images of 32x32 with --config.generator.last_width=16 --config.discriminator.first_width=16 train on two CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan import dcgan
from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """DCGAN's choices for a generator that draws in steps."""
    config, base = create(GAN, architecture='gran'), dcgan.get_config()
    for name in ('loss', 'optimizer', 'average', 'schedule'):
        config[name] = base[name]
    config.resolution = base.resolution
    return config
