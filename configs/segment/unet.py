"""A U-Net for any data set with masks; what is 0 or 'auto' follows from a fingerprint of the training images.

    python -m segment.main --config=configs/segment/unet.py --workdir=runs/unet --config.data.name=NAME
    python -m segment.main --config=configs/segment/unet.py:small --workdir=runs/small --config.data.name=NAME
    python -m segment.evaluate --workdir=runs/small

The first works on images as they are, with the recipe of nnU-Net, and is meant for an accelerator. The second
resizes images to 64x64 and is narrow, for two CPU cores: 2,000 steps take some minutes. Patients of the validation
split choose the best checkpoint; those of the test split are seen by segment.evaluate alone. `schema.py` explains
every field.
"""

from ml_collections import ConfigDict

from configs.schema import create
from configs.segment.schema import UNET

VARIANTS = ('default', 'small')


def get_config(variant: str = 'default') -> ConfigDict:
    """The config; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = create(UNET)
    if variant == 'small':
        _make_small(config)
    return config


def _make_small(config: ConfigDict) -> None:
    config.resolution, config.patch = 64, 64
    config.data.fit = 'pad'
    config.network.width, config.network.max_width, config.network.depth = 8, 64, 4
    config.optimizer.name, config.optimizer.learning_rate = 'adamw', 3e-3
    config.schedule.steps, config.schedule.batch_size = 2_000, 16
    config.watch.steps = 250
    config.run.log_images, config.run.sample_images, config.run.checkpoint_images = 400, 8_000, 16_000
