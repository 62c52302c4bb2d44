"""A detector of synthetic images; see `detect.prepare` for its data.

    python -m detect.main --config=configs/detect/detector.py --workdir=runs/detector --config.data.name=NAME
    python -m detect.main --config=configs/detect/detector.py:small --workdir=runs/small --config.data.name=NAME
    python -m detect.evaluate --workdir=runs/small

The default looks at what is lost by halving an image (the residual between neighbouring pixels) with the first
half of a ResNet-50: 1.4 million parameters, 256x256. `small` is half as wide and sees 64x64, for two CPU cores:
some minutes for 8,000 images. `attention` adds self-attention, `branches` spectrum and co-occurrence; `resnet50`,
`densenet121` and `densenet201` see the pixels themselves, and can begin with the weights of a classifier or of a
file (--config.start_from); `adversarial` trains the small one on images that were changed to mislead it.
"""

from ml_collections import ConfigDict

VARIANTS = ('default', 'small', 'attention', 'branches', 'resnet50', 'densenet121', 'densenet201', 'adversarial')
_BLOCKS = {'densenet121': (6, 12, 24, 16), 'densenet201': (6, 12, 48, 32)}


def get_config(variant: str = 'default') -> ConfigDict:
    """The config; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = ConfigDict()
    config.seed = 0
    config.resolution = 256  # height and width; that of the data, or that halved some times
    config.channels = 1  # of the images: 1 grey, 3 colour
    config.compute_dtype = 'auto'  # float32, bfloat16, or auto: bfloat16 on accelerators
    config.start_from = ''  # encoder of every branch: workdir of a classifier, or KIND=FILE; '' as config.network

    config.data = ConfigDict()
    config.data.name = ''  # as given to detect.prepare
    config.data.data_dir = ''  # '': $TFDS_DATA_DIR or ~/tensorflow_datasets
    config.data.sources = ()  # synthetic images of these alone; () all
    config.data.modalities = ()  # only these; () all
    config.data.labels = 'true'  # or random, by patient: the control that must end at chance
    config.data.flip_horizontal = True
    config.data.flip_vertical = False
    config.data.host_memory_gib = 8.0  # decoded images are kept in host memory up to this size
    config.data.device_memory_gib = 4.0  # and on the device up to this

    config.inputs = ('residual',)  # a branch for each: residual, pixels, spectrum, cooccurrence
    config.attention_heads = 0  # of self-attention over each branch's last map; 0 without
    config.architecture = 'resnet'  # of the encoders
    config.network = _resnet(2)

    config.augment = ConfigDict()  # of all training images, whatever their label
    config.augment.shift = 0.05  # at most, as a share of the side, each way
    config.augment.contrast = 0.1  # factors from 1 - this to 1 + this
    config.augment.brightness = 0.05  # added, at most, each way; the range of images is 2

    config.degrade = ConfigDict()  # likewise: with a probability, and a strength between two ends
    config.degrade.resampling = 0.1
    config.degrade.factor = (0.5, 1.0)  # size in between
    config.degrade.blur = 0.1
    config.degrade.sigma = (0.0, 1.0)  # pixels
    config.degrade.noise = 0.2
    config.degrade.deviation = (0.0, 0.05)
    config.degrade.compression = 0.3  # JPEG
    config.degrade.quality = (60, 100)

    config.adversarial = ConfigDict()
    config.adversarial.eps = 0.0  # largest change, in 1/255 of the range of images; 0 trains without
    config.adversarial.steps = 0

    config.optimizer = ConfigDict()  # Adam with decoupled weight decay, warmed up and then cooled along a cosine
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.warmup = 0.1  # share of all steps

    config.schedule = ConfigDict()
    config.schedule.epochs = 20
    config.schedule.batch_size = 32

    config.anomaly = ConfigDict()  # scores that are fitted on real training images alone, after training
    config.anomaly.padim_features = 64  # channels that PaDiM draws
    config.anomaly.coreset = 2000  # patches that PatchCore keeps
    config.anomaly.images = 500  # real training images that PaDiM and PatchCore look at

    config.watch = ConfigDict()
    config.watch.epochs = 1  # between two looks at the validation split

    config.run = ConfigDict()
    config.run.log_images = 2_000
    config.run.checkpoint_images = 20_000
    config.run.checkpoints_to_keep = 2
    config.run.steps_per_call = 0  # 0: one on CPUs, about 32 on accelerators
    config.run.max_skipped_in_a_row = 50

    if variant in ('small', 'adversarial'):
        config.resolution = 64
        config.network.width = 32
        config.schedule.epochs = 4
        config.schedule.batch_size = 64
    if variant == 'adversarial':
        config.adversarial.eps = 2.0
        config.adversarial.steps = 3
    if variant == 'attention':
        config.attention_heads = 4
    if variant == 'branches':
        config.inputs = ('residual', 'spectrum', 'cooccurrence')
    if variant == 'resnet50':
        config.inputs = ('pixels',)
        config.network = _resnet(4)
    if variant in _BLOCKS:
        config.inputs = ('pixels',)
        config.architecture = 'densenet'
        config.network = ConfigDict(
            {'growth': 32, 'blocks': _BLOCKS[variant], 'stem_width': 64, 'small_stem': False}
        )
    return config


def _resnet(stages: int) -> ConfigDict:
    return ConfigDict({'depth': 50, 'width': 64, 'small_stem': False, 'num_stages': stages})
