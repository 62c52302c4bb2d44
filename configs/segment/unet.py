"""A U-Net for any data set with masks; what is 0 or 'auto' follows from a fingerprint of the training images.

    python -m segment.main --config=configs/segment/unet.py --workdir=runs/unet --config.data.name=NAME
    python -m segment.main --config=configs/segment/unet.py:small --workdir=runs/small --config.data.name=NAME
    python -m segment.evaluate --workdir=runs/small

The first works on images as they are, with the recipe of nnU-Net, and is meant for an accelerator. The second
resizes images to 64x64 and is narrow, for two CPU cores: 2,000 steps take some minutes. Patients of the validation
split choose the best checkpoint; those of the test split are seen by segment.evaluate alone.
"""

from ml_collections import ConfigDict

VARIANTS = ('default', 'small')


def get_config(variant: str = 'default') -> ConfigDict:
    """The config; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = ConfigDict()
    config.seed = 0
    config.resolution = 0  # height and width that images are made to have; 0: as the fingerprint suggests
    config.patch = 0  # side of the squares that the network is trained on; 0: as suggested
    config.channels = 1  # of the images: 1 grey, 3 colour
    config.context = 0  # slices before and after each that the network sees too (2.5-D)
    config.mask_classes = 0  # foreground classes; 0: those in the masks
    config.compute_dtype = 'auto'  # float32, bfloat16, or auto: bfloat16 on accelerators
    config.data = _data()
    config.network = _network()
    config.augment = _augmentation()

    config.loss = ConfigDict()
    config.loss.dice = 1.0
    config.loss.cross_entropy = 1.0
    config.loss.focal_gamma = 0.0  # above 0: pixels that are right already count less
    config.loss.boundary = 0.0  # by how much more pixels beside another class count

    config.optimizer = ConfigDict()
    config.optimizer.name = 'sgd'  # sgd (Nesterov, polynomial decay) or adamw (warmed up, cosine)
    config.optimizer.learning_rate = 1e-2
    config.optimizer.momentum = 0.99  # of sgd
    config.optimizer.weight_decay = 3e-5
    config.optimizer.warmup = 0.05  # share of all steps, of adamw
    config.optimizer.clip = 12.0  # largest norm of the gradient

    config.schedule = ConfigDict()
    config.schedule.steps = 50_000
    config.schedule.batch_size = 0  # 0: as suggested
    config.schedule.foreground_share = 0.33  # of patches that are sure to hold foreground

    config.watch = ConfigDict()
    config.watch.steps = 1000  # between two looks at the validation split

    config.run = ConfigDict()
    config.run.log_images = 2_000
    config.run.sample_images = 50_000
    config.run.checkpoint_images = 50_000
    config.run.checkpoints_to_keep = 2
    config.run.steps_per_call = 0  # 0: one on CPUs, about 32 on accelerators
    config.run.max_skipped_in_a_row = 50
    if variant == 'small':
        _make_small(config)
    return config


def _make_small(config: ConfigDict) -> None:
    config.resolution, config.patch = 64, 64
    config.data.fit = 'pad'
    config.network.width, config.network.max_width, config.network.depth = 8, 64, 4
    config.optimizer.name, config.optimizer.learning_rate = 'adamw', 3e-3
    config.schedule.steps, config.schedule.batch_size = 2_000, 16
    config.watch.steps = 250
    config.run.log_images, config.run.sample_images, config.run.checkpoint_images = 400, 8_000, 16_000


def _data() -> ConfigDict:
    data = ConfigDict()
    data.name = 'phantom_64'  # as given to input_pipeline.prepare; phantoms are drawn when missing
    data.data_dir = ''  # '': $TFDS_DATA_DIR or ~/tensorflow_datasets
    data.modalities = ()  # only these; () all
    data.classes = ()  # only images of these classes; () all
    data.class_names = ()  # of the masks' ids from 1 on; () class 1, class 2, ...
    data.window = 'suggested'  # what becomes [-1, 1]: stored, volume, dataset, physical, auto by depth, suggested
    data.window_range = (0.0, 0.0)  # low and high, for window = 'physical'
    data.fit = 'suggested'  # native: as they are; pad: resized, aspect kept; resize: aspect not kept; or suggested
    data.flip_horizontal = False  # here; augment.mirror flips too
    data.flip_vertical = False
    data.host_memory_gib = 8.0  # decoded images are kept in host memory up to this size
    data.device_memory_gib = 4.0  # and on the device up to this
    data.phantom = ConfigDict()  # for data.name = 'phantom...'
    data.phantom.count = 1200
    data.phantom.size = 64
    data.phantom.modalities = ('CT', 'MR', 'DX')
    data.phantom.seed = 0
    data.phantom.images_per_patient = 2
    return data


def _network() -> ConfigDict:
    network = ConfigDict()
    network.width = 16  # features at full resolution; nnU-Net has 32, for accelerators
    network.max_width = 256
    network.depth = 0  # halvings; 0: as suggested
    network.residual = False
    network.normalization = 'instance'  # instance, group or batch
    network.deep_supervision = True
    network.encoder = ''  # workdir of a classifier, or KIND=FILE with weights (resnet50, densenet121); '' its own
    return network


def _augmentation() -> ConfigDict:
    augment = ConfigDict()  # probabilities, each with its range
    augment.scale = 1.0  # of all probabilities; 0 varies nothing
    augment.mirror = ('horizontal', 'vertical')
    augment.rotation, augment.angle = 0.2, 30.0  # degrees, at most
    augment.scaling, augment.zoom = 0.2, (0.7, 1.4)
    augment.noise, augment.deviation = 0.1, 0.3  # at most, as a share of an image's own
    augment.blur, augment.sigma = 0.2, (0.5, 1.0)  # pixels
    augment.brightness, augment.brightness_range = 0.15, (0.75, 1.25)
    augment.contrast, augment.contrast_range = 0.15, (0.75, 1.25)
    augment.low_resolution, augment.shrink = 0.25, 0.5
    augment.gamma, augment.gamma_range = 0.3, (0.7, 1.5)
    return augment
