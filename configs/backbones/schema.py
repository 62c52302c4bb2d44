"""Every field of a classifier's config."""

import dataclasses

from configs import common
from configs.schema import Field, Section, Variants

ARCHITECTURE = Field('resnet', 'resnet or densenet', choices=('densenet', 'resnet'), fixed=True)
RESNET = {
    'depth': Field(18, 'layers of the whole network', choices=(18, 50)),
    'width': Field(64, 'features of the first stage', low=1),
    'small_stem': Field(False, 'no halvings before the first stage, for small images'),
}
DENSENET = {
    'growth': Field(32, 'features that each layer adds', low=1),
    'blocks': Field((6, 12, 24, 16), 'layers of each block'),
    'stem_width': Field(64, 'features before the first block', low=1),
    'small_stem': Field(False, 'no halvings before the first block, for small images'),
}
OPTIMIZER = {
    'learning_rate': Field(1e-3, 'the highest, after warming up', low=0),
    'weight_decay': Field(1e-4, 'of all weights, times the rate', low=0),
    'warmup': Field(0.1, 'share of all steps in which it rises, before it falls along a cosine', low=0, high=1),
}
WATCH = Section({'epochs': Field(1, 'between two looks at the validation split', low=1)})


def augment(shift: float, contrast: float, brightness: float, *, fixed: bool) -> Section:
    """How far training images are varied."""
    return Section(
        {
            'shift': Field(shift, 'at most, as a share of the side, each way', low=0, high=0.5),
            'contrast': Field(contrast, 'factors from 1 - this to 1 + this', low=0, high=1),
            'brightness': Field(brightness, 'added, at most, each way; the range of images is 2', low=0),
        },
        'of training images, whatever their label',
        fixed=fixed,
    )


def schedule(epochs: int, batch_size: int, about: str) -> Section:
    """How long training lasts."""
    return Section(
        {
            'epochs': Field(epochs, 'passes over the training split', low=1),
            'batch_size': Field(batch_size, about, low=1),
        },
        fixed=True,
    )


_DATA = Section(
    {
        'name': dataclasses.replace(common.NAME, default='phantom_32'),
        'data_dir': common.DATA_DIR,
        **common.IMAGES,
        'phantom': common.phantoms(count=1200, size=32),
    },
    'the images; patients of each split are its own',
)
CLASSIFIER = Section(
    {
        'seed': common.SEED,
        'target': Field(
            'class', 'what is told apart: class or modality', choices=('class', 'modality'), fixed=True
        ),
        'resolution': Field(
            224,
            'height and width',
            choices=(16, 32, 64, 128, 224, 256, 512, 1024),
            fixed=True,
        ),
        'channels': common.CHANNELS,
        'compute_dtype': common.COMPUTE_DTYPE,
        'data': _DATA,
        'architecture': ARCHITECTURE,
        'network': Variants(
            'architecture',
            {'resnet': Section(RESNET, fixed=True), 'densenet': Section(DENSENET, fixed=True)},
        ),
        'augment': augment(0.08, 0.2, 0.1, fixed=False),
        'optimizer': Section(
            {
                **OPTIMIZER,
                'label_smoothing': Field(0.05, 'share of a label that all classes get', low=0, high=1),
            },
            'Adam with decoupled weight decay',
            fixed=True,
        ),
        'schedule': schedule(30, 64, 'images of a batch over all devices'),
        'watch': WATCH,
        'run': common.run(log=2_000, checkpoint=20_000, keep=2),
    }
)
