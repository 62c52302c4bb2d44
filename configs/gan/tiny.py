"""A few seconds of Enhanced-GAN up to 16x16 on few phantoms, for tests of the machinery, not of the pictures.

python -m gan.main --config=configs/gan/tiny.py --workdir=runs/tiny
"""

from ml_collections import ConfigDict

from configs.gan import enhanced_gan


def get_config() -> ConfigDict:
    """The smallest config that passes through every part."""
    config = enhanced_gan.get_config()
    config.resolution = 16
    config.data.name = 'phantom_tiny'
    config.data.phantom.count = 48
    config.data.phantom.size = 16
    config.generator.latent_size = 16
    for network in (config.generator, config.discriminator):
        network.fmap_base = 64
        network.fmap_max = 8
        network.attention_chunk = 16
    config.average.half_life = 200.0
    config.schedule.batch_size = {'at_4': 8, 'at_8': 8, 'at_16': 8}
    config.schedule.fade_images = 32
    config.schedule.stable_images = 32
    config.samples.rows = 2
    config.samples.columns = 4
    config.run.log_images = 16
    config.watch.images = 32
    config.watch.samples = 32
    config.run.sample_images = 32
    config.run.checkpoint_images = 32
    return config
