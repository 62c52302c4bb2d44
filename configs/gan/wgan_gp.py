"""WGAN-GP with residual networks, for any size from 32 to 256 (Gulrajani et al. 2017, arXiv:1704.00028).

    python -m gan.main --config=configs/gan/wgan_gp.py --workdir=runs/wgan_gp --config.data.name=NAME

The paper's CIFAR-10 recipe: five critic steps a generator step, Adam 2e-4 with b1 0 and b2 0.9, penalty 10. Its
widths are 128 everywhere; here they double at each halving up to 512, as larger images need. Images of 32x32 with
--config.generator.last_width=16 --config.discriminator.first_width=16 train on two CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan import pggan


def get_config() -> ConfigDict:
    """The paper's networks and optimiser; every field of the residual networks."""
    config = pggan.get_config()
    config.architecture = 'residual'
    config.resolution = 64

    config.generator = ConfigDict()
    config.generator.latent_size = 128
    config.generator.latent_distribution = 'normal'
    config.generator.last_width = 64  # features at the final resolution; twice as many at each halving,
    config.generator.max_width = 512  # but at most these
    config.generator.spectral_norm = False
    config.generator.attention_resolution = 0  # before this block, or the last of smaller networks; 0 nowhere
    config.generator.attention_chunk = 0

    config.discriminator = ConfigDict()
    config.discriminator.condition = 'projection'
    config.discriminator.first_width = 64  # features of the first block; twice as many of each next one,
    config.discriminator.max_width = 512  # but at most these
    config.discriminator.spectral_norm = False
    config.discriminator.attention_resolution = 0
    config.discriminator.attention_chunk = 0

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
