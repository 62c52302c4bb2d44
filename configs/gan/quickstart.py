"""The README's first command: Enhanced-GAN grows to 32x32 on drawn phantoms, in minutes on two CPU cores.

    scripts/quickstart

or, where the project is installed,
python -m gan.main --config=configs/gan/quickstart.py --workdir=runs/quickstart

Each column of the grid is a class: CT, chest X-ray (DX) and head MR, without and with a lesion. Expect to
recognise the head, the chest and the cross-sections of the body, not fine structures.
"""

from ml_collections import ConfigDict

from configs.gan import small


def get_config() -> ConfigDict:
    """The small config, smaller still."""
    config = small.get_config()
    config.resolution = 32
    config.data.name = 'phantom_32'
    config.data.phantom.count = 1200
    config.data.phantom.size = 32
    for network in (config.generator, config.discriminator):
        network.fmap_base = 256
        network.fmap_max = 32
    config.average.half_life = 1_000.0
    config.schedule.fade_images = 5_000
    config.schedule.stable_images = 5_000
    config.schedule.final_images = 5_000
    config.samples.rows = 6
    config.watch.images = 10_000
    config.watch.samples = 256
    config.run.sample_images = 5_000
    config.run.checkpoint_images = 5_000
    return config
