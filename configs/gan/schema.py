"""Every field of a GAN's config."""

from configs import common
from configs.gan.architectures import DISCRIMINATORS, ENCODERS, FAMILIES, GENERATORS, TARGETS
from configs.schema import Field, Section, Variants, added_field

SECTIONS = ('generator', 'discriminator', 'encoder', 'family', 'target')  # that an architecture decides
_DATA = Section(
    {
        'name': common.NAME,
        'data_dir': common.DATA_DIR,
        'split': Field('train', 'of the training images', fixed=True),
        **common.IMAGES,
        'phantom': common.phantoms(count=2000, size=256),
    },
    'the training images',
)
_LOSS = Section(
    {
        'name': Field(
            'wasserstein',
            'of wasserstein, hinge, non_saturating, minimax, least_squares and relativistic',
            choices=('wasserstein', 'hinge', 'non_saturating', 'minimax', 'least_squares', 'relativistic'),
        ),
        'penalty': Field(
            'gradient',
            'gradient (WGAN-GP), zero_centred (R1), zero_centred_fake (R2), zero_centred_both or none',
            choices=('gradient', 'zero_centred', 'zero_centred_fake', 'zero_centred_both', 'none'),
        ),
        'penalty_weight': Field(10.0, 'of the penalty', low=0),
        'penalty_target': Field(1.0, 'slope that the gradient penalty holds', low=0),
        'penalty_every': Field(1, 'steps; the penalty is as many times stronger', low=1),
        'penalty_slope': added_field(
            'exact', 'of zero-centred penalties: exact, or by differences', choices=('exact', 'differences')
        ),
        'penalty_share': added_field(1.0, 'of the images of a batch whose slope is penalised', above=0, high=1),
        'orthogonal_weight': added_field(0.0, "of the penalty on likeness between the generator's filters", low=0),
        'drift_weight': Field(0.001, 'of the square of the logits of real images', low=0),
        'class_weight': Field(1.0, "of the auxiliary classifier's cross-entropy", low=0),
        'label_smoothing': Field(0.0, 'one-sided; for non_saturating', low=0),
        'label_noise': Field(0.0, 'share of labels that are exchanged for the discriminator', low=0),
        'input_noise': Field(0.0, 'standard deviation of noise on what the discriminator sees', low=0),
        'joint_batches': Field(False, 'real and fake images in one batch, for batch normalization'),
    }
)
_OPTIMIZER = Section(
    {
        'name': added_field('adam', 'adam, or rmsprop, which has no b1', choices=('adam', 'rmsprop'), fixed=True),
        'generator_learning_rate': Field(1e-3, 'of the generator', low=0),
        'discriminator_learning_rate': Field(1e-3, 'of the discriminator', low=0),
        'discriminator_steps': Field(1, 'for each of the generator', low=1),
        'b1': Field(0.0, 'decay of the mean of gradients', low=0, below=1),
        'b2': Field(0.99, 'decay of the mean of their squares', low=0, below=1),
        'eps': Field(1e-8, 'added to its root', above=0),
        'discriminator_limit': added_field(
            0.0, 'weight clipping: none of its weights is beyond; 0 without', low=0, fixed=True
        ),
    },
    'of all networks',
)
_ANNEAL = Section(
    {
        'images': added_field(0, 'after which the end is reached; 0: all stays as it is', low=0),
        'shape': added_field('cosine', 'half a cosine, or a line', choices=('cosine', 'linear')),
        'constant': added_field(0.0, 'share of the images before anything changes', low=0, below=1),
        'learning_rate': added_field(0.25, 'share of the learning rates at the end', low=0),
        'b2': added_field(0.9, 'of the optimizer, at the start', low=0, below=1),
        'half_life': added_field(0.0, 'of the running mean in images, at the start', low=0),
        'penalty': added_field(0.1, "share of the penalty's weight at the end", low=0),
        'augmentation': added_field(0.0, 'probability of augmentations at the end', low=0, high=1),
    },
    'what changes over time, for networks that do not grow',
    fixed=True,
)
_AUGMENT = Section(
    {
        'operations': Field(
            (), 'of flip, translation, rotation, scaling, brightness, contrast, gamma, noise, cutout'
        ),
        'probability': Field(0.0, 'of each operation; where adaptive, at the start', low=0, high=1),
        'adaptive': Field(False, 'ADA: the probability follows how sure the discriminator is of real images'),
        'target': Field(0.6, 'mean sign of the logits of real images that ADA holds', above=0),
        'every': Field(4, 'batches between two changes', above=0),
        'images': Field(500_000, 'in which the probability can go from 0 to 1', above=0),
    },
    'of all images that the discriminator sees',
)
_PRIVACY = Section(
    {
        'noise_multiplier': added_field(
            0.0,
            "standard deviation of the noise on the discriminator's gradient, in clip norms; 0: as epsilon asks",
            low=0,
            fixed=True,
        ),
        'epsilon': added_field(
            0.0, 'budget, for which the noise is found, and beyond which nothing trains; 0: none', low=0
        ),
        'delta': added_field(
            1e-5, 'of the guarantee; less than one over the number of units', above=0, below=1, fixed=True
        ),
        'clip_norm': added_field(
            1.0, 'largest norm of the gradient of one real image and one drawn', above=0, fixed=True
        ),
        'unit': added_field(
            'patient', 'image or patient: whom it protects', choices=('image', 'patient'), fixed=True
        ),
        'fill': added_field(
            0.75,
            'share of a batch that is filled on average, as its size is drawn by chance',
            above=0,
            below=1,
            fixed=True,
        ),
    },
    'differential privacy of the training images, by noise and an accountant; see docs/privacy.md',
)
_BATCH_SIZES = {f'at_{4 << power}': size for power, size in enumerate((128, 128, 128, 64, 32, 16, 8, 4, 4))}
_BY_RESOLUTION = 'at all resolutions, or by resolution, as the batch sizes are'
_SCHEDULE = Section(
    {
        'initial_resolution': Field(
            4, 'of the first stage; 0: the final one, for networks that do not grow', fixed=True
        ),
        'batch_size': Field(
            _BATCH_SIZES,
            'images of a batch over all devices, by resolution, at least 1',
            fixed=True,
        ),
        'fade_images': Field(600_000, f'in which a new block fades in, {_BY_RESOLUTION}', low=0, fixed=True),
        'stable_images': Field(600_000, f'after which the next stage begins, {_BY_RESOLUTION}', low=0, fixed=True),
        'final_images': Field(0, 'more for the last stage', low=0),
        'final_epochs': Field(0, 'and more, in passes over the data', low=0),
    },
    'in images',
)
_WATCH = Section(
    {
        'images': Field(50_000, 'between two looks; 0 never', low=0),
        'extractor': added_field(
            '', "in whose features: workdir of backbones.main, or KIND=FILE; '' random ones", fixed=True
        ),
        'samples': Field(1_000, 'images to look at; all their distances are formed', low=16, high=10_000),
        'on_collapse': Field(
            'go_on', 'go_on, stop, or roll_back to the best checkpoint', choices=('go_on', 'stop', 'roll_back')
        ),
        'collapse_ratio': Field(4.0, 'a distance so many times the best one is a collapse', above=1),
    },
    'an inexpensive distance of samples to real images; see gan.watch',
)
GAN = Section(
    {
        'seed': common.SEED,
        'architecture': Field(
            'progressive',
            'of networks; each has fields of its own',
            choices=tuple(GENERATORS),
            fixed=True,
        ),
        'resolution': Field(
            256, 'final height and width, a power of two from 4 to 1024', low=4, high=1024, fixed=True
        ),
        'channels': common.CHANNELS,
        'mask_classes': Field(
            0, 'foreground classes of the masks to model with the images; 0: no masks', low=0, fixed=True
        ),
        'mask_slope': Field(
            2.0,
            'pixels over which mask channels rise from the contour, by the distance to it; 0: all or nothing',
            low=0.0,
            high=64.0,
            fixed=True,
            before=0.0,
        ),
        'mask_head': added_field(
            False, 'mask channels are drawn by two convolutions of their own, behind the last block', fixed=True
        ),
        'conditional': Field(False, "on the data set's classes", fixed=True),
        'compute_dtype': common.COMPUTE_DTYPE,
        'data': _DATA,
        'generator': Variants('architecture', GENERATORS),
        'discriminator': Variants('architecture', DISCRIMINATORS),
        'encoder': Variants('architecture', ENCODERS, optional=True),
        'family': Variants('architecture', FAMILIES, optional=True),
        'target': Variants('architecture', TARGETS, optional=True),
        'loss': _LOSS,
        'optimizer': _OPTIMIZER,
        'average': Section(
            {
                'half_life': Field(10_000.0, 'images', above=0),
                'ramp': Field(0.0, 'at most this share of the images seen; 0 no limit', low=0),
            },
            'running mean of the generator',
        ),
        'anneal': _ANNEAL,
        'augment': _AUGMENT,
        'privacy': _PRIVACY,
        'start_from': Section(
            {
                'workdir': Field('', 'of the other run, or an exported generator'),
                'generator': Field(True, 'copy its generator'),
                'discriminator': Field(True, 'copy its discriminator'),
            },
            'transfer: layers of the same name and shape are copied from another run',
        ),
        'schedule': _SCHEDULE,
        'watch': _WATCH,
        'samples': Section(
            {'rows': Field(6, 'of a grid', low=1), 'columns': Field(8, 'of a grid', low=1)}, 'grids of samples'
        ),
        'run': common.run(
            log=5_000,
            checkpoint=100_000,
            keep=3,
            sample_images=Field(50_000, 'images between two grids of samples', low=1),
        ),
    }
)
