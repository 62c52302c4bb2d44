"""Every field of a U-Net's config."""

import dataclasses

from configs import common
from configs.schema import Field, Section, added_field

_SUGGESTED = 'suggested'


def _probability(default: float, what: str) -> Field:
    return Field(default, f'probability {what}', low=0.0, high=1.0)


_DATA = Section(
    {
        'name': dataclasses.replace(common.NAME, default='phantom_64'),
        'data_dir': common.DATA_DIR,
        'modalities': common.MODALITIES,
        'classes': dataclasses.replace(common.CLASSES, about='only images of these classes; () all'),
        'class_names': Field((), "of the masks' ids from 1 on; () class 1, class 2, ..."),
        'window': Field(
            _SUGGESTED,
            'what becomes [-1, 1]: stored, volume, dataset, physical, auto by depth, or suggested',
            fixed=True,
            left_open=_SUGGESTED,
        ),
        'window_range': common.WINDOW_RANGE,
        'pixels': common.PIXELS,
        'pixel_size': common.PIXEL_SIZE,
        'fit': Field(
            _SUGGESTED,
            'native: as they are, whatever pixels says; pad: resized, aspect kept; resize: aspect not kept; or '
            'suggested',
            choices=('native', 'pad', 'resize'),
            fixed=True,
            left_open=_SUGGESTED,
        ),
        'flip_horizontal': Field(False, 'mirror training images left to right; augment.mirror flips too'),
        'flip_vertical': common.FLIP_VERTICAL,
        **common.MEMORY,
        'phantom': common.phantoms(count=1200, size=64),
    },
    'images and masks',
)
_NETWORK = Section(
    {
        'width': Field(16, 'features at full resolution; nnU-Net has 32, for accelerators', low=1),
        'max_width': Field(256, 'features, at most', low=1),
        'depth': Field(0, 'halvings; 0: as suggested', low=1, high=8, left_open=0),
        'residual': Field(False, 'blocks add their input'),
        'normalization': Field('instance', 'of each convolution', choices=('instance', 'group', 'batch')),
        'deep_supervision': Field(True, 'lower resolutions are trained too'),
        'encoder': Field(
            '', "workdir of backbones.main, or KIND=FILE with weights (resnet50, densenet121); '' its own"
        ),
    },
    fixed=True,
)
_AUGMENT = Section(
    {
        'scale': Field(1.0, 'of all probabilities; 0 varies nothing', low=0.0),
        'mirror': Field(('horizontal', 'vertical'), 'axes along which images are mirrored'),
        'rotation': _probability(0.2, 'of rotation'),
        'angle': Field(30.0, 'degrees, at most', low=0.0, high=180.0),
        'scaling': _probability(0.2, 'of scaling'),
        'zoom': Field((0.7, 1.4), 'lowest and highest factor'),
        'noise': _probability(0.1, 'of noise'),
        'deviation': Field(0.3, "standard deviation, at most, as a share of an image's own", low=0.0),
        'blur': _probability(0.2, 'of blur'),
        'sigma': Field((0.5, 1.0), 'lowest and highest standard deviation, in pixels'),
        'brightness': _probability(0.15, 'of other brightness'),
        'brightness_range': Field((0.75, 1.25), 'lowest and highest factor'),
        'contrast': _probability(0.15, 'of other contrast'),
        'contrast_range': Field((0.75, 1.25), 'lowest and highest factor, around the mean'),
        'low_resolution': _probability(0.25, 'of lower resolution'),
        'shrink': Field(0.5, 'of the size, at least', low=0.05, high=1.0),
        'gamma': _probability(0.3, 'of a power of the intensity'),
        'gamma_range': Field((0.7, 1.5), 'lowest and highest exponent'),
    },
    'probabilities, each with its range',
    fixed=True,
)
_LOSS = Section(
    {
        'dice': Field(1.0, 'weight of the Dice loss', low=0.0),
        'cross_entropy': Field(1.0, 'weight of the cross-entropy', low=0.0),
        'focal_gamma': Field(0.0, 'above 0: pixels that are right already count less', low=0.0),
        'boundary': Field(0.0, 'by how much more pixels beside another class count', low=0.0),
    },
    fixed=True,
)
_OPTIMIZER = Section(
    {
        'name': Field(
            'sgd', 'sgd (Nesterov, polynomial decay) or adamw (warmed up, cosine)', choices=('sgd', 'adamw')
        ),
        'learning_rate': Field(1e-2, 'the highest', low=0.0),
        'momentum': Field(0.99, 'of sgd', low=0.0, high=0.9999),
        'weight_decay': Field(3e-5, 'of all weights', low=0.0),
        'warmup': Field(0.05, 'share of all steps, of adamw', low=0.0, high=1.0),
        'clip': Field(12.0, 'largest norm of the gradient', low=1e-6),
    },
    fixed=True,
)
_VOLUME = Section(
    {
        'slices': added_field(0, 'slices of a patch; 0: as suggested', low=0, left_open=0),
        'distance': added_field(
            0.0,
            'millimetres between slices to which volumes are resampled, and masks back; -1: as they are, as are '
            'volumes whose distance is not known; 0: as suggested',
            low=-1.0,
            left_open=0.0,
        ),
        'strides': added_field(
            (), 'of the depth at each halving of the plane: 1 or 2; (): as suggested', left_open=()
        ),
        'kernels': added_field(
            (),
            'slices that convolutions see at each resolution, the highest first: 1 or 3; (): as suggested',
            left_open=(),
        ),
        'mirror': added_field(True, 'patches are mirrored along the depth, too'),
    },
    'for dimensions = 3',
    fixed=True,
)
UNET = Section(
    {
        'seed': common.SEED,
        'dimensions': added_field(2, '2: slice by slice; 3: volumes, in patches', choices=(2, 3), fixed=True),
        'resolution': Field(
            0, 'height and width that images are made to have; 0: as suggested', low=8, fixed=True, left_open=0
        ),
        'patch': Field(
            0,
            'side of the squares that the network is trained on; 0: as suggested',
            low=8,
            fixed=True,
            left_open=0,
        ),
        'channels': common.CHANNELS,
        'context': Field(0, 'slices before and after each that the network sees too (2.5-D)', low=0, fixed=True),
        'mask_classes': Field(
            0, 'foreground classes; 0: those in the masks', low=1, high=127, fixed=True, left_open=0
        ),
        'compute_dtype': common.COMPUTE_DTYPE,
        'data': _DATA,
        'volume': _VOLUME,
        'network': _NETWORK,
        'augment': _AUGMENT,
        'loss': _LOSS,
        'optimizer': _OPTIMIZER,
        'schedule': Section(
            {
                'steps': Field(50_000, 'in all', low=1),
                'batch_size': Field(0, 'images of a batch over all devices; 0: as suggested', low=1, left_open=0),
                'foreground_share': Field(0.33, 'of patches that are sure to hold foreground', low=0.0, high=1.0),
            },
            fixed=True,
        ),
        'start_from': Field(
            '',
            "workdir of another run, whose best network this one begins with; '': drawn afresh",
            before='',
        ),
        'watch': Section({'steps': Field(1000, 'between two looks at the validation split', low=1)}),
        'run': common.run(
            log=2_000,
            checkpoint=50_000,
            keep=2,
            sample_images=Field(50_000, 'images between two pictures', low=1),
        ),
    }
)
