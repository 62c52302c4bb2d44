"""Fields that the configs of several tasks have."""

from collections.abc import Mapping

from configs.schema import Field, Node, Section

SEED = Field(0, 'decides every random number of the run', low=0, high=2**32 - 1, fixed=True)
CHANNELS = Field(0, 'of the images: 1 grey, 3 colour; 0: as they are stored', low=1, fixed=True, left_open=0)
COMPUTE_DTYPE = Field(
    'auto',
    'float32, bfloat16, or auto: bfloat16 on accelerators and float32 on CPUs',
    choices=('auto', 'float32', 'bfloat16'),
)
NAME = Field('phantom', 'data set, as given to input_pipeline.prepare; phantoms are drawn when missing')
DATA_DIR = Field('', "folder of all data sets; '': $TFDS_DATA_DIR or ~/tensorflow_datasets")
MODALITIES = Field((), 'only these; () all', fixed=True)
CLASSES = Field((), 'only these; () all', fixed=True)
WINDOW = Field(
    'auto',
    'what becomes [-1, 1]: stored, volume, dataset, physical, or auto by depth',
    choices=('auto', 'stored', 'volume', 'dataset', 'physical'),
    fixed=True,
)
WINDOW_RANGE = Field((0.0, 0.0), "low and high, for window = 'physical'", fixed=True)
FIT = Field(
    'pad',
    'images that are not square: pad or crop (aspect kept), or resize',
    choices=('pad', 'crop', 'resize'),
    fixed=True,
)
PIXELS = Field(
    'square',
    'what is done with spacing before images are fitted: as_stored (nothing), square (pixels that are not get the '
    'finer spacing of their image), or resampled (to pixel_size)',
    choices=('as_stored', 'square', 'resampled'),
    fixed=True,
    before='as_stored',
)
PIXEL_SIZE = Field(
    0.0,
    "millimetres, for pixels = 'resampled'; images are then padded or cut, not resized",
    low=0,
    fixed=True,
    before=0.0,
)
FLIP_HORIZONTAL = Field(False, 'mirror training images left to right at random; anatomy is not symmetric')
FLIP_VERTICAL = Field(False, 'likewise from top to bottom')
MEMORY: Mapping[str, Node] = {
    'host_memory_gib': Field(8.0, 'decoded images are kept in host memory up to this size', low=0),
    'device_memory_gib': Field(4.0, 'and on the device up to this', low=0),
}
IMAGES: Mapping[str, Node] = {
    'modalities': MODALITIES,
    'classes': CLASSES,
    'window': WINDOW,
    'window_range': WINDOW_RANGE,
    'pixels': PIXELS,
    'pixel_size': PIXEL_SIZE,
    'fit': FIT,
    'flip_horizontal': FLIP_HORIZONTAL,
    'flip_vertical': FLIP_VERTICAL,
    **MEMORY,
}

DOMAIN = Section(
    {
        'name': Field('', "data set; '': that of data.name"),
        'modalities': MODALITIES,
        'classes': CLASSES,
        'window': WINDOW,
        'window_range': WINDOW_RANGE,
    },
    'what images are translated to; data tells of what they are',
)


def phantoms(count: int, size: int) -> Section:
    """How phantoms are drawn."""
    return Section(
        {
            'count': Field(count, 'images', low=1),
            'size': Field(size, 'height and width', low=1),
            'modalities': Field(('CT', 'MR', 'DX'), 'of CT, MR and DX'),
            'seed': Field(0, 'decides all of them', low=0),
            'images_per_patient': Field(2, 'images of each patient', low=1),
        },
        "for data.name = 'phantom...'",
    )


def run(log: int, checkpoint: int, keep: int, **own: Field) -> Section:
    """How often things happen, in images."""
    return Section(
        {
            'log_images': Field(log, 'images between two lines of the log', low=1),
            **own,
            'checkpoint_images': Field(checkpoint, 'images between two checkpoints', low=1),
            'checkpoints_to_keep': Field(keep, 'the newest ones', low=1),
            'steps_per_call': Field(0, 'of the device; 0: one on CPUs, about 32 on accelerators', low=0),
            'max_skipped_in_a_row': Field(50, 'updates without a finite gradient, after which a run ends', low=1),
        },
        'the loop',
    )
