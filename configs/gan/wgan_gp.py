"""WGAN-GP with residual networks, for any size from 32 to 256 (Gulrajani et al. 2017, arXiv:1704.00028).

    python -m gan.main --config=configs/gan/wgan_gp.py --workdir=runs/wgan_gp --config.data.name=NAME

The paper's CIFAR-10 recipe: five critic steps a generator step, Adam 2e-4 with b1 0 and b2 0.9, penalty 10. Its
widths are 128 everywhere; here they double at each halving up to 512, as larger images need. Images of 32x32 with
--config.generator.last_width=16 --config.discriminator.first_width=16 train on two CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """The paper's networks and optimiser; every field of the residual networks."""
    config = create(GAN, architecture='residual')
    config.resolution = 64
    config.loss.drift_weight = 0.0
    config.optimizer.generator_learning_rate = 2e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.optimizer.discriminator_steps = 5
    config.optimizer.b2 = 0.9
    config.average.half_life = 5_000.0
    config.average.ramp = 0.1
    config.schedule.initial_resolution = 0
    config.schedule.batch_size = {'at_32': 64, 'at_64': 64, 'at_128': 64, 'at_256': 32}
    config.schedule.fade_images = 0
    config.schedule.stable_images = 5_000_000
    return config
