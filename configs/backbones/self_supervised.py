"""An encoder of one's own images without labels: the extractor where there are no classes, and a first backbone.

    python -m backbones.main --config=configs/backbones/self_supervised.py --workdir=runs/encoder ...

with --config.data.name=NAME; or a standard network in place of the small ResNet-18 for two CPU cores:

    python -m backbones.main --config=configs/backbones/self_supervised.py:resnet18 --workdir=runs/encoder18 ...
    python -m backbones.main --config=configs/backbones/self_supervised.py:resnet50 --workdir=runs/encoder50 ...

SimCLR (Chen et al. 2020, arXiv:2002.05709) at small size: two views of an image are told from views of all other
images of the batch, but for those of the same patient. Deviations: Adam instead of LARS, small batches; views
without blur and noise, as features that do not see these cannot tell a blurred generator from a sharp one; gamma
in place of hues; mirrored views only with --config.data.flip_horizontal=True, for anatomy is not symmetric.
Features are those before the projection. Patients of the validation split choose the best checkpoint; where the
data have classes, the nearest neighbours of validation images are asked for them. Expect 5 to 15 minutes at 32x32.
`schema.py` explains every field.
"""

from ml_collections import ConfigDict

from configs.backbones.schema import SELF_SUPERVISED
from configs.schema import create

VARIANTS = ('small', 'resnet18', 'resnet50')


def get_config(variant: str = 'small') -> ConfigDict:
    """The config of a network; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = create(SELF_SUPERVISED)
    if variant == 'small':
        config.network.width, config.network.small_stem, config.resolution = 16, True, 32
        config.schedule.images, config.schedule.batch_size = 20_000, 64
        config.watch.images = 5_000
    if variant == 'resnet50':
        config.network.depth = 50
    return config
