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
"""

from ml_collections import ConfigDict

VARIANTS = ('small', 'resnet18', 'resnet50', 'densenet121', 'densenet_bc')


def get_config(variant: str = 'small') -> ConfigDict:
    """The config of a network; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = ConfigDict()
    config.seed = 0
    config.target = 'class'  # what is told apart: class or modality
    config.resolution = 224  # height and width, a power of two from 16 to 1024, or 224
    config.channels = 1  # of the images: 1 grey, 3 colour
    config.compute_dtype = 'auto'  # float32, bfloat16, or auto: bfloat16 on accelerators

    config.data = ConfigDict()
    config.data.name = 'phantom_32'  # as given to input_pipeline.prepare; phantoms are drawn when missing
    config.data.data_dir = ''  # '': $TFDS_DATA_DIR or ~/tensorflow_datasets
    config.data.modalities = ()  # only these; () all
    config.data.classes = ()  # only these; () all
    config.data.window = 'auto'  # what becomes [-1, 1]: stored, volume, dataset, physical, or auto by depth
    config.data.window_range = (0.0, 0.0)  # low and high, for window = 'physical'
    config.data.fit = 'pad'  # images that are not square: pad or crop (aspect kept), or resize
    config.data.flip_horizontal = False  # anatomy is not symmetric
    config.data.flip_vertical = False
    config.data.host_memory_gib = 8.0  # decoded images are kept in host memory up to this size
    config.data.device_memory_gib = 4.0  # and on the device up to this
    config.data.phantom = ConfigDict()  # for data.name = 'phantom...'
    config.data.phantom.count = 1200
    config.data.phantom.size = 32
    config.data.phantom.modalities = ('CT', 'MR', 'DX')
    config.data.phantom.seed = 0
    config.data.phantom.images_per_patient = 2

    config.augment = ConfigDict()  # of training images
    config.augment.shift = 0.08  # at most, as a share of the side, each way
    config.augment.contrast = 0.2  # factors from 1 - this to 1 + this
    config.augment.brightness = 0.1  # added, at most, each way; the range of images is 2

    config.optimizer = ConfigDict()  # Adam with decoupled weight decay, warmed up and then cooled along a cosine
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.warmup = 0.1  # share of all steps
    config.optimizer.label_smoothing = 0.05

    config.schedule = ConfigDict()
    config.schedule.epochs = 30
    config.schedule.batch_size = 64

    config.watch = ConfigDict()
    config.watch.epochs = 1  # between two looks at the validation split

    config.run = ConfigDict()
    config.run.log_images = 2_000
    config.run.checkpoint_images = 20_000
    config.run.checkpoints_to_keep = 2
    config.run.steps_per_call = 0  # 0: one on CPUs, about 32 on accelerators
    config.run.max_skipped_in_a_row = 50

    if variant.startswith('densenet'):
        config.architecture = 'densenet'
        config.network = _densenet_bc() if variant == 'densenet_bc' else _densenet121()
    else:
        config.architecture = 'resnet'
        config.network = _resnet(50 if variant == 'resnet50' else 18)
    if variant in ('small', 'densenet_bc'):
        config.resolution = 32
        config.network.small_stem = True
    if variant == 'small':
        config.network.width = 16
        config.schedule.epochs = 8
    return config


def _resnet(depth: int) -> ConfigDict:
    return ConfigDict({'depth': depth, 'width': 64, 'small_stem': False})


def _densenet121() -> ConfigDict:
    return ConfigDict({'growth': 32, 'blocks': (6, 12, 24, 16), 'stem_width': 64, 'small_stem': False})


def _densenet_bc() -> ConfigDict:
    return ConfigDict({'growth': 12, 'blocks': (16, 16, 16), 'stem_width': 24, 'small_stem': True})
