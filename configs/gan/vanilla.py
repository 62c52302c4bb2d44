"""The first GAN: multilayer perceptrons, for any size up to 64 (Goodfellow et al. 2014, arXiv:1406.2661).

    python -m gan.main --config=configs/gan/vanilla.py --workdir=runs/vanilla --config.data.name=NAME

It shows what later families mend: samples are noisy, and modes go missing. The generator has two hidden layers of
1200 rectifiers, the discriminator two maxout layers of 240 with five pieces and dropout, the loss is the
non-saturating one of section 3; --config.loss.name=minimax takes equation 1 as it stands. With
--config.conditional=True it is the conditional GAN of Mirza and Osindero 2014, arXiv:1411.1784, whose classes join
latents and pixels. Ours: Adam for momentum, and images in (-1, 1).
"""

from ml_collections import ConfigDict

from configs.gan import dcgan
from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """Perceptrons with DCGAN's loss, optimiser and schedule."""
    config, other = create(GAN, architecture='perceptron'), dcgan.get_config()
    config.resolution = 32
    for section in ('loss', 'optimizer', 'average', 'schedule'):
        config[section] = other[section]
    config.schedule.batch_size = {'at_16': 128, 'at_32': 128, 'at_64': 128}
    return config
