"""A detector of synthetic images; see `detect.prepare` for its data.

    python -m detect.main --config=configs/detect/detector.py --workdir=runs/detector --config.data.name=NAME
    python -m detect.main --config=configs/detect/detector.py:small --workdir=runs/small --config.data.name=NAME
    python -m detect.evaluate --workdir=runs/small

The default looks at what is lost by halving an image (the residual between neighbouring pixels) with the first
half of a ResNet-50: 1.4 million parameters, 256x256. `small` is half as wide and sees 64x64, for two CPU cores:
half an hour for 8,000 images. `attention` adds self-attention, `branches` spectrum and co-occurrence; `resnet50`,
`densenet121` and `densenet201` see the pixels themselves, and can begin with the weights of a classifier or of a
file (--config.start_from); `adversarial` trains the small one on images that were changed to mislead it.
`patches` sees 15 patches of 96 pixels of each image as they are, beside an overview of it; its data are prepared
with --resolution=native. `schema.py` explains every field.
"""

from ml_collections import ConfigDict

from configs.detect.schema import DETECTOR
from configs.schema import create

VARIANTS = (
    'default',
    'small',
    'patches',
    'attention',
    'branches',
    'resnet50',
    'densenet121',
    'densenet201',
    'adversarial',
)
_BLOCKS = {'densenet121': (6, 12, 24, 16), 'densenet201': (6, 12, 48, 32)}


def get_config(variant: str = 'default') -> ConfigDict:
    """The config; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = create(DETECTOR, architecture='densenet' if variant in _BLOCKS else 'resnet')
    if variant in ('small', 'adversarial'):
        config.resolution = 64
        config.network.width = 32
        config.schedule.epochs, config.schedule.batch_size = 12, 64
    if variant == 'patches':
        config.resolution, config.data.patches, config.data.patches_in_training = 96, 15, 3
        config.network.width = 32
        config.augment.shift = 0.0
        config.files.scaling, config.files.text, config.files.borders, config.files.webp = 0.3, 0.1, 0.2, 0.2
        config.degrade.resampling = 0.1  # there and back again, which wipes traces out
        config.schedule.epochs, config.schedule.batch_size = 12, 32
    if variant == 'adversarial':
        config.adversarial.eps, config.adversarial.steps = 2.0, 3
    if variant == 'attention':
        config.attention_heads = 4
    if variant == 'branches':
        config.inputs = ('residual', 'spectrum', 'cooccurrence')
    if variant == 'resnet50':
        config.inputs, config.network.num_stages = ('pixels',), 4
    if variant in _BLOCKS:
        config.inputs, config.network.blocks = ('pixels',), _BLOCKS[variant]
    return config
