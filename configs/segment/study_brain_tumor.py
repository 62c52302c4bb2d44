"""Do generated images help a U-Net to find brain tumours? PGGAN and Enhanced-GAN with equal budgets, and controls.

    python -m segment.study --config=configs/segment/study_brain_tumor.py --workdir=runs/study
    python -m segment.study --config=configs/segment/study_brain_tumor.py:full --workdir=runs/study_full

The first is what two CPU cores do in some hours: 64x64, a quarter of the training images, one generator of each
kind with 60,000 images, three seeds. The second is for a cluster, whose machines share the jobs: start the command
on each. The data set must be prepared as brain_tumor_mri. It does not know its patients, so sixteen neighbouring
slices count as one. `study_schema.py` explains every field, and has the values of the first.
"""

from ml_collections import ConfigDict

from configs.schema import create
from configs.segment.study_schema import STUDY

VARIANTS = ('small', 'full')


def get_config(variant: str = 'small') -> ConfigDict:
    """The study; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = create(STUDY)
    if variant == 'full':
        _make_full(config)
    return config


def _make_full(config: ConfigDict) -> None:
    config.name = 'study_brain_full'
    config.resolution = 256
    config.fractions = (0.05, 0.1, 0.25, 0.5, 1.0)
    config.ratios = (0.5, 1.0, 2.0, 4.0)
    config.seeds = (0, 1, 2, 3, 4)
    config.generators.configs = {
        'pggan': 'configs/gan/pggan.py',
        'enhanced': 'configs/gan/enhanced_gan.py',
    }
    config.generators.flags = ('--config.resolution=256', '--config.mask_classes=1')
    config.generators.images = 8400
    config.generators.seeds = (0, 1, 2, 3, 4)
    config.generators.audit = ('--extractor=random', '--num=8400', '--held_out=validation')
    config.segmenter.config = 'configs/segment/unet.py'
    config.segmenter.flags, config.segmenter.steps = (), 50_000
    config.curve = ()
