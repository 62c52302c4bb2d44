"""DCGAN for any size from 32 to 256 (Radford et al. 2016, arXiv:1511.06434), the base of the other DCGAN configs.

    python -m gan.main --config=configs/gan/dcgan.py --workdir=runs/dcgan --config.data.name=NAME

At 32x32 it trains in an hour on two CPU cores; 64x64 and more are for accelerators.
"""

from ml_collections import ConfigDict

from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """The paper's networks and optimiser; every field of DCGAN's networks."""
    return train_like_dcgan(create(GAN, architecture='dcgan'))


def train_like_dcgan(config: ConfigDict) -> ConfigDict:
    """A config of networks that do not grow, with the loss, the optimiser and the schedule of DCGAN."""
    config.resolution = 64
    config.loss.name = 'non_saturating'
    config.loss.penalty = 'none'
    config.loss.drift_weight = 0.0
    config.optimizer.generator_learning_rate = 2e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.999
    config.average.half_life = 5_000.0
    config.average.ramp = 0.1
    config.schedule.initial_resolution = 0
    config.schedule.batch_size = {'at_32': 128, 'at_64': 128, 'at_128': 128, 'at_256': 32}
    config.schedule.fade_images = 0
    config.schedule.stable_images = 1_000_000
    return config
