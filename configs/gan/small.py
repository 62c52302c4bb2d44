"""Enhanced-GAN at 64x64 with narrow layers: a few thousand images on two CPU cores, in an hour or two.

    python -m gan.main --config=configs/gan/small.py --workdir=runs/small --config.data.name=NAME

Conditional on the data set's classes, one column of the grid for each of six. Train on with a larger
--config.schedule.final_images in the same workdir.
"""

from ml_collections import ConfigDict

from configs.gan import enhanced_gan


def get_config() -> ConfigDict:
    """Narrow layers, short stages, small batches."""
    config = enhanced_gan.get_config()
    config.resolution = 64
    config.conditional = True
    config.data.phantom.size = 64
    config.generator.latent_size = 64
    for network in (config.generator, config.discriminator):
        network.fmap_base = 512
        network.fmap_max = 64
        network.attention_chunk = 0
    config.optimizer.generator_learning_rate = 2e-3
    config.optimizer.discriminator_learning_rate = 1.5e-3
    config.average.half_life = 2_000.0
    config.schedule.batch_size = {'at_4': 16, 'at_8': 16, 'at_16': 16, 'at_32': 16, 'at_64': 8}
    config.schedule.fade_images = 10_000
    config.schedule.stable_images = 10_000
    config.schedule.final_images = 20_000
    config.samples.columns = 6
    config.run.log_images = 500
    config.watch.images = 10_000
    config.watch.samples = 256
    config.run.sample_images = 5_000
    config.run.checkpoint_images = 10_000
    return config
