"""StyleGAN2 for any size from 32 to 256 (Karras et al. 2020, arXiv:1912.04958).

    python -m gan.main --config=configs/gan/stylegan2.py --workdir=runs/stylegan2 --config.data.name=NAME

Eight slow mapping layers, modulated and demodulated convolutions, images of all sizes summed, a residual
discriminator; non-saturating loss, R1 in each 16th step, path lengths in each 4th, mixed styles in nine of ten
images, Adam with b1 0 and b2 0.99. R1's weight grows with the number of pixels: 0.1 is four times the rule of
arXiv:2006.06676 (2e-4 resolution^2 / batch), as fewer images need.

Deviations: noise has a strength for each channel; the two styles of an image cross in each image elsewhere;
R1 is part of the discriminator's own update, so that Adam's constants need no change there, and the generator's
rate of 2e-3 is lowered by 4/5 for its fifth update in four steps; the mean style is each class's own. Images are
sampled with one and the same noise, so that a seed's images are the same whatever the batch.

Images of 32x32 with --config.generator.fmap_base=512 --config.discriminator.fmap_base=512
--config.generator.fmap_max=64 --config.discriminator.fmap_max=64 --config.generator.latent_size=64
--config.generator.style_size=64 train on two CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """The paper's networks, penalties and optimiser."""
    config = create(GAN, architecture='stylegan2')
    config.resolution = 64
    config.loss.name = 'non_saturating'
    config.loss.penalty = 'zero_centred'
    config.loss.penalty_weight = 0.1
    config.loss.penalty_every = 16
    config.loss.drift_weight = 0.0
    config.optimizer.generator_learning_rate = 1.6e-3
    config.optimizer.discriminator_learning_rate = 2e-3
    config.average.ramp = 0.05
    config.schedule.initial_resolution = 0
    config.schedule.batch_size = {'at_32': 32, 'at_64': 32, 'at_128': 32, 'at_256': 16}
    config.schedule.fade_images = 0
    config.schedule.stable_images = 5_000_000
    return config
