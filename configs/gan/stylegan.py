"""StyleGAN growing from 8x8 (Karras et al. 2019, arXiv:1812.04948).

    python -m gan.main --config=configs/gan/stylegan.py --workdir=runs/stylegan --config.data.name=NAME

Eight slow mapping layers, a learned constant, styles that set the mean and deviation of each map, noise, [1, 2, 1]
smoothing; non-saturating loss, R1 with weight 10, mixed styles in nine of ten images, Adam 1e-3 (the paper's
1.5e-3 and more from 128x128 on), b1 0 and b2 0.99.

Deviations: the discriminator is PGGAN's, whose 2x2 means smooth what they halve; the constant is drawn from
N(0, 1), since a map that is the same everywhere has no deviation to be divided by; the mean style is each class's
own. Images are sampled with one and the same noise, so that a seed's images are the same whatever the batch.

Images of 32x32 with --config.generator.fmap_base=512 --config.discriminator.fmap_base=512
--config.generator.fmap_max=64 --config.discriminator.fmap_max=64 --config.generator.latent_size=64
--config.generator.style_size=64 train on two CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """The paper's networks, penalty and optimiser; stages as long as PGGAN's."""
    config = create(GAN, architecture='stylegan')
    config.loss.name = 'non_saturating'
    config.loss.penalty = 'zero_centred'
    config.loss.drift_weight = 0.0
    config.schedule.initial_resolution = 8
    return config
