"""Every field of the configs of detectors: of images, and of volumes."""

import dataclasses

from configs import common
from configs.backbones import schema as backbones
from configs.schema import Field, Section, Variants

PATCHES = (0, 3, 8, 15, 24)  # which, with an overview, fill a square
_NAME = Field('', 'data set, as given to detect.prepare')
_NETWORKS = {
    'resnet': Section(
        {
            **backbones.RESNET,
            'depth': Field(50, 'layers of the whole network', choices=(18, 50)),
            'num_stages': Field(2, 'stages of the network that are used', low=1, high=4),
        },
        fixed=True,
    ),
    'densenet': Section(backbones.DENSENET, fixed=True),
}
_DATA = Section(
    {
        'name': _NAME,
        'data_dir': common.DATA_DIR,
        'sources': Field((), 'synthetic images of these alone; () all', fixed=True),
        'modalities': common.MODALITIES,
        'labels': Field(
            'true',
            'true, or random by patient: the control that must end at chance',
            choices=('random', 'true'),
            fixed=True,
        ),
        'patches': Field(
            0,
            'of each image at its own pixels, beside an overview, each with config.resolution pixels a side; '
            '0 shows images as a whole, shrunk',
            choices=PATCHES,
            fixed=True,
            before=0,
        ),
        'patches_in_training': Field(
            0, 'of them that a step sees, at places by chance', choices=PATCHES, fixed=True, before=0
        ),
        'flip_horizontal': Field(True, 'mirror training images left to right at random'),
        'flip_vertical': common.FLIP_VERTICAL,
        **common.MEMORY,
    },
    'real and synthetic images',
)
DEGRADE = Section(
    {
        'turning': Field(0.5, 'probability of a turn by one to three quarters', low=0, high=1, before=0.0),
        'cutting': Field(0.3, 'probability that a part is enlarged to the whole', low=0, high=1, before=0.0),
        'part': Field((0.75, 1.0), 'its two ends, as a share of the side', low=0.1, high=1.0, before=(1.0, 1.0)),
        'resampling': Field(0.3, 'probability of another size in between', low=0, high=1),
        'factor': Field((0.5, 1.0), 'its two ends, as a share of the side', low=0.05, high=1.0),
        'blur': Field(0.1, 'probability of a Gaussian blur', low=0, high=1),
        'sigma': Field((0.0, 1.0), 'its two ends, in pixels', low=0.0, high=100.0),
        'noise': Field(0.2, 'probability of noise', low=0, high=1),
        'deviation': Field((0.0, 0.05), 'its two ends; the range of images is 2', low=0.0, high=2.0),
        'compression': Field(0.3, 'probability of JPEG', low=0, high=1),
        'quality': Field((60, 100), 'its two ends', low=1, high=100),
    },
    'of training images, whatever their label: with a probability, and a strength between two ends',
    fixed=True,
)
FILES = Section(
    {
        'scaling': Field(0.0, 'probability of another size, by one of five kernels', low=0, high=1, before=0.0),
        'scale': Field((0.5, 2.0), 'its two ends, as a factor', low=0.1, high=10.0, before=(0.5, 2.0)),
        'text': Field(0.0, 'probability of burned-in text', low=0, high=1, before=0.0),
        'borders': Field(
            0.0, 'probability of borders of one grey value, which are cut off again', low=0, high=1, before=0.0
        ),
        'webp': Field(0.0, 'probability of WebP, of the quality that JPEG has', low=0, high=1, before=0.0),
    },
    'of training images that are seen in patches, whatever their label, beside config.degrade',
    fixed=True,
)
_ADVERSARIAL = Section(
    {
        'eps': Field(0.0, 'largest change, in 1/255 of the range of images; 0 trains without', low=0),
        'steps': Field(0, 'in which the change is looked for', low=0),
    },
    'training on images that were changed to mislead the detector',
    fixed=True,
)
_ANOMALY = Section(
    {
        'padim_features': Field(64, 'channels that PaDiM draws', low=1),
        'coreset': Field(2000, 'patches that PatchCore keeps', low=10),
        'images': Field(500, 'real training images that PaDiM and PatchCore look at', low=10),
    },
    'scores that are fitted on real training images alone, after training',
)
DETECTOR = Section(
    {
        'seed': common.SEED,
        'resolution': Field(
            256,
            'height and width; that of the data, or that halved some times; with patches that of each',
            low=16,
            fixed=True,
        ),
        'channels': dataclasses.replace(common.CHANNELS, choices=(1, 3)),
        'compute_dtype': common.COMPUTE_DTYPE,
        'start_from': Field(
            '', "encoder of every branch: workdir of backbones.main or KIND=FILE; '' as config.network", fixed=True
        ),
        'data': _DATA,
        'inputs': Field(
            ('residual',), 'a branch for each: of residual, pixels, spectrum, cooccurrence', fixed=True
        ),
        'attention_heads': Field(0, "of self-attention over each branch's last map; 0 without", low=0, fixed=True),
        'architecture': backbones.ARCHITECTURE,
        'network': Variants('architecture', _NETWORKS),
        'augment': backbones.augment(0.05, 0.1, 0.05, fixed=True),
        'degrade': DEGRADE,
        'files': FILES,
        'adversarial': _ADVERSARIAL,
        'optimizer': Section(backbones.OPTIMIZER, 'Adam with decoupled weight decay', fixed=True),
        'schedule': backbones.schedule(20, 32, 'images of a batch over all devices'),
        'anomaly': _ANOMALY,
        'watch': backbones.WATCH,
        'run': common.run(log=2_000, checkpoint=20_000, keep=2),
    }
)
STACK = Section(
    {
        'seed': common.SEED,
        'slices_from': Field('', 'workdir of the finished detector of images that describes the slices'),
        'data': Section(
            {
                'name': _NAME,
                'data_dir': common.DATA_DIR,
                'sources': Field((), 'altered volumes of these alone; () all', fixed=True),
                'modalities': common.MODALITIES,
            },
            'real and altered volumes',
        ),
        'stack': Section(
            {
                'width': Field(32, 'of the recurrent state in each direction', low=1),
                'slices': Field(64, 'that stand for a longer volume, evenly from first to last', low=1),
            },
            'the network',
            fixed=True,
        ),
        'optimizer': Section(
            {**backbones.OPTIMIZER, 'weight_decay': Field(1e-2, 'of all weights, times the rate', low=0)},
            'Adam with decoupled weight decay',
            fixed=True,
        ),
        'schedule': backbones.schedule(40, 16, 'volumes of a batch over all devices'),
        'watch': backbones.WATCH,
        'run': common.run(log=200, checkpoint=2_000, keep=2),  # counted in volumes, not in images
    }
)
