"""A classifier of a data set's own classes or modalities: the extractor that scores ask for, and a first backbone.

    python -m backbones.main --config=configs/backbones/classifier.py --workdir=runs/classifier ...

with --config.data.name=NAME; or, instead of the small ResNet-18 for two CPU cores, a standard network:

    python -m backbones.main --config=configs/backbones/classifier.py:resnet18 --workdir=runs/resnet18 ...
    python -m backbones.main --config=configs/backbones/classifier.py:resnet50 --workdir=runs/resnet50 ...
    python -m backbones.main --config=configs/backbones/classifier.py:densenet121 --workdir=runs/densenet121 ...
    python -m backbones.main --config=configs/backbones/classifier.py:densenet_bc --workdir=runs/dense ...

(densenet_bc is the network of the AM Score's paper.) Patients of the validation split choose the best checkpoint
and the temperature of the probabilities; those of the test split are seen once, at the end. Expect minutes at
32x32 for a few thousand images, and more than 0.99 of MedNIST's images in their class: these are different organs.
`schema.py` explains every field.
"""

from ml_collections import ConfigDict

from configs.backbones.schema import CLASSIFIER
from configs.schema import create

VARIANTS = ('small', 'resnet18', 'resnet50', 'densenet121', 'densenet_bc')


def get_config(variant: str = 'small') -> ConfigDict:
    """The config of a network; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = create(CLASSIFIER, architecture='densenet' if variant.startswith('densenet') else 'resnet')
    if variant == 'small':
        config.network.width = 16
        config.schedule.epochs = 8
    if variant == 'resnet50':
        config.network.depth = 50
    if variant == 'densenet_bc':
        config.network.growth, config.network.blocks, config.network.stem_width = 12, (16, 16, 16), 24
    if variant in ('small', 'densenet_bc'):
        config.resolution, config.network.small_stem = 32, True
    return config
