"""Every field of the configs of classifiers, and of encoders without labels."""

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
_RESOLUTION = Field(224, 'height and width', choices=(16, 32, 64, 128, 224, 256, 512, 1024), fixed=True)
_NETWORK = Variants(
    'architecture', {'resnet': Section(RESNET, fixed=True), 'densenet': Section(DENSENET, fixed=True)}
)
CLASSIFIER = Section(
    {
        'seed': common.SEED,
        'target': Field(
            'class', 'what is told apart: class or modality', choices=('class', 'modality'), fixed=True
        ),
        'resolution': _RESOLUTION,
        'channels': common.CHANNELS,
        'compute_dtype': common.COMPUTE_DTYPE,
        'data': _DATA,
        'architecture': ARCHITECTURE,
        'network': _NETWORK,
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
_VIEWS = Section(
    {
        'part': Field(0.4, 'the smallest part that becomes the whole, as a share of the area', above=0, high=1),
        'stretch': Field(1.33, 'width by height of a part, at most, and its inverse at least', low=1, high=4),
        'contrast': Field(0.4, 'factors from 1 - this to 1 + this', low=0, high=1),
        'brightness': Field(0.3, 'added, at most, each way; the range of images is 2', low=0, high=2),
        'gamma': Field(0.3, 'logarithm of the exponent of intensities, at most, each way', low=0, high=2),
        'blur': Field(0.0, 'largest deviation of a Gaussian blur, as a share of the side', low=0, high=0.1),
        'noise': Field(0.0, 'largest deviation of noise; the range of images is 2', low=0, high=1),
    },
    'how two views of an image differ, besides data.flip_horizontal and data.flip_vertical',
    fixed=True,
)
SELF_SUPERVISED = Section(
    {
        'seed': common.SEED,
        'resolution': _RESOLUTION,
        'channels': common.CHANNELS,
        'compute_dtype': common.COMPUTE_DTYPE,
        'data': _DATA,
        'architecture': ARCHITECTURE,
        'network': _NETWORK,
        'projection': Section(
            {
                'hidden': Field(256, 'width of the layer between features and projections', low=1),
                'projected': Field(64, 'length of the projections, in which views are compared', low=2),
            },
            'left behind after training',
            fixed=True,
        ),
        'views': _VIEWS,
        'contrast': Section(
            {
                'temperature': Field(0.2, 'by which cosines are divided', above=0),
                'spare_patients': Field(True, 'other images of the same patient are not pushed apart'),
            },
            'NT-Xent, the loss of SimCLR',
            fixed=True,
        ),
        'optimizer': Section(OPTIMIZER, 'Adam with decoupled weight decay', fixed=True),
        'schedule': Section(
            {
                'images': Field(60_000, 'in all, each in two views', low=1),
                'batch_size': Field(128, 'images of a batch over all devices, all told apart', low=2),
            },
            fixed=True,
        ),
        'watch': Section({'images': Field(10_000, 'between two looks at the validation split', low=1)}),
        'run': common.run(log=2_000, checkpoint=20_000, keep=2),
    }
)
