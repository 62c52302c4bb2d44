"""Do generated images help a U-Net to find brain tumours? PGGAN and Enhanced-GAN with equal budgets, and controls.

    python -m segment.study --config=configs/segment/study_brain_tumor.py --workdir=runs/study
    python -m segment.study --config=configs/segment/study_brain_tumor.py:full --workdir=runs/study_full

The first is what two CPU cores do in some hours: 64x64, a quarter of the training images, one generator of each
kind with 60,000 images, three seeds. The second is for a cluster, whose machines share the jobs: start the command
on each. The data set must be prepared as brain_tumor_mri. It does not know its patients, so sixteen neighbouring
slices count as one.
"""

from ml_collections import ConfigDict

VARIANTS = ('small', 'full')
_ARMS = (
    'real', 'real_augmented', 'pggan', 'enhanced', 'pggan_only', 'enhanced_only', 'duplicated', 'shuffled',
)  # fmt: skip


def get_config(variant: str = 'small') -> ConfigDict:
    """The study; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = ConfigDict()
    config.name = 'study_brain'  # what the names of its data sets begin with
    config.data = 'brain_tumor_mri'
    config.data_dir = ''  # '': $TFDS_DATA_DIR or ~/tensorflow_datasets
    config.seed = 0  # decides which patients make up a fraction
    config.block = 16  # where no patient is known, so many neighbouring images count as one; 0 leaves them
    config.resolution = 64  # of all images in the study; 0 leaves them as they are
    config.arms = _ARMS
    config.comparisons = (  # the first of each pair against the second
        ('enhanced', 'pggan'),
        ('enhanced', 'real_augmented'),
        ('pggan', 'real_augmented'),
        ('enhanced', 'shuffled'),
        ('duplicated', 'real_augmented'),
        ('real_augmented', 'real'),
    )
    config.reference = 'real_augmented'  # real images alone: the arm of the learning curve
    config.curve = (0.1, 1.0)  # fractions of the real patients for it, besides those of the arms
    config.fractions = (0.25,)  # of the real training patients
    config.ratios = (1.0,)  # generated images for each real one
    config.seeds = (0, 1, 2)  # of the segmenters
    config.policy = 'nnunet'  # for empty masks: nnunet, monai or ones (which of them: docs/segmenting.md)
    config.margin = 0.01  # a smaller difference in Dice counts as none
    config.alpha = 0.05  # chance of a false claim
    config.resamples = 10_000  # of patients and seeds

    config.generators = _generators()

    config.segmenter = ConfigDict()
    config.segmenter.config = 'configs/segment/unet.py:small'
    config.segmenter.flags = ('--config.schedule.steps=500', '--config.watch.steps=125')
    config.segmenter.augmentation = 1.0  # scale of its probabilities in arms that are augmented
    if variant == 'full':
        _make_full(config)
    return config


def _generators() -> ConfigDict:
    generators = ConfigDict()
    generators.configs = {
        'pggan': 'configs/gan/comparison.py:pggan',
        'enhanced': 'configs/gan/comparison.py:enhanced',
    }
    generators.flags = (
        '--config.resolution=64',
        '--config.conditional=False',
        '--config.mask_classes=1',
        '--config.schedule.fade_images=5000',
        '--config.schedule.stable_images=5000',
        '--config.schedule.final_images=15000',
    )
    generators.images = 600  # drawn from each
    generators.seeds = (0,)  # of the generators: one for all segmenters, or one for each of their seeds
    generators.audit = ('--extractor=random', '--num=600', '--held_out=validation')
    return generators


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
    config.segmenter.flags = ()
    config.curve = ()
