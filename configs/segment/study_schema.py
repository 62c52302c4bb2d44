"""Every field of a study's config; the defaults are those of the small study of brain tumours."""

from configs import common
from configs.schema import Field, Section

_ARMS = (
    'real', 'real_augmented', 'pggan', 'enhanced', 'pggan_only', 'enhanced_only', 'duplicated', 'shuffled',
)  # fmt: skip
COMPARISONS = (
    ('enhanced', 'pggan'),
    ('enhanced', 'real_augmented'),
    ('pggan', 'real_augmented'),
    ('enhanced', 'shuffled'),
    ('duplicated', 'real_augmented'),
    ('real_augmented', 'real'),
)
_GENERATORS = Section(
    {
        'configs': Field(
            {
                'pggan': 'configs/gan/comparison.py:pggan',
                'enhanced': 'configs/gan/comparison.py:enhanced',
            },
            'config file of each generator',
            fixed=True,
        ),
        'own': Field(
            '',
            "data set of generated images with masks, from prepare, made from training patients alone; '': none",
            fixed=True,
            before='',
        ),
        'flags': Field(
            (
                '--config.resolution=64',
                '--config.conditional=False',
                '--config.mask_classes=1',
                '--config.schedule.fade_images=5000',
                '--config.schedule.stable_images=5000',
                '--config.schedule.final_images=15000',
            ),
            'of gan.main',
            fixed=True,
        ),
        'images': Field(600, 'drawn from each', low=1),
        'seeds': Field(
            (0,), 'of the generators: one for all segmenters, or one for each of their seeds', fixed=True
        ),
        'audit': Field(('--extractor=random', '--num=600', '--held_out=validation'), 'flags of gan.evaluate'),
    },
    'trained on the real images of each fraction',
)
_SEGMENTER = Section(
    {
        'config': Field('configs/segment/unet.py:small', 'config file'),
        'flags': Field(('--config.watch.steps=125',), 'of segment.main'),
        'steps': Field(
            500, 'of each segmenter, in all stages together; 0: as flags or its config say', low=0, before=0
        ),
        'augmentation': Field(1.0, 'scale of its probabilities in arms that are augmented'),
    },
    'trained in each cell',
    fixed=True,
)
STUDY = Section(
    {
        'name': Field('study_brain', 'what the names of its data sets begin with', fixed=True),
        'data': Field('brain_tumor_mri', 'data set, as given to input_pipeline.prepare', fixed=True),
        'data_dir': Field(common.DATA_DIR.default, common.DATA_DIR.about, fixed=True),
        'seed': Field(0, 'decides which patients make up a fraction', fixed=True),
        'block': Field(
            16,
            'where no patient is known, so many neighbouring images count as one; 0 leaves them',
            low=0,
            fixed=True,
        ),
        'resolution': Field(64, 'of all images in the study; 0 leaves them as they are', low=0, fixed=True),
        'arms': Field(_ARMS, 'what segmenters are trained on; see segment.studies.design', fixed=True),
        'comparisons': Field(COMPARISONS, 'pairs of arms: the first against the second', fixed=True),
        'reference': Field('real_augmented', 'real images alone: the arm of the learning curve', fixed=True),
        'curve': Field((0.1, 1.0), 'fractions of the real patients for it, besides those of the arms', fixed=True),
        'fractions': Field((0.25,), 'of the real training patients', fixed=True),
        'ratios': Field((1.0,), 'generated images for each real one', fixed=True),
        'seeds': Field((0, 1, 2), 'of the segmenters', fixed=True),
        'policy': Field(
            'nnunet',
            'for empty masks (which of them: docs/segmenting.md)',
            choices=('nnunet', 'monai', 'ones'),
            fixed=True,
        ),
        'margin': Field(0.01, 'a smaller difference in Dice counts as none', low=1e-6, fixed=True),
        'alpha': Field(0.05, 'chance of a false claim', low=1e-4, high=0.25, fixed=True),
        'resamples': Field(10_000, 'of patients and seeds', low=1000, high=10**6, fixed=True),
        'generators': _GENERATORS,
        'segmenter': _SEGMENTER,
    }
)
