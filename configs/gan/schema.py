"""Every field of a GAN's config."""

from configs import common
from configs.schema import Field, Section, Variants, added_field

_LATENTS = ('normal', 'uniform')
_CONDITIONS = ('projection', 'auxiliary')
_ATTENTION = (0, *(8 << power for power in range(8)))
_CHUNKS = (0, *(1 << power for power in range(21)))


def _latents(size: int, distribution: str) -> dict[str, Field]:
    return {
        'latent_size': Field(size, 'numbers in a latent', low=1),
        'latent_distribution': Field(distribution, 'of each number: normal or uniform', choices=_LATENTS),
    }


def _attention() -> dict[str, Field]:
    return {
        'attention_resolution': Field(
            0, 'self-attention before this block, or the last of smaller networks; 0 nowhere', choices=_ATTENTION
        ),
        'attention_chunk': Field(0, 'rows of the score matrix held at a time; 0 all', choices=_CHUNKS),
    }


_CONDITION = Field(
    'projection', 'how classes enter: by projection, or by an auxiliary classifier', choices=_CONDITIONS
)
_EMBEDDING = Field(32, 'numbers that a class adds to the latent', low=1)
_SPECTRAL_NORM = Field(False, 'spectral normalization of all layers')
_SPECTRAL_NORM_ON = Field(True, 'spectral normalization of all layers, drawn orthogonal')
_PROGRESSIVE_WIDTHS = {
    'fmap_base': Field(8192, 'features of a block times its resolution', low=1),
    'fmap_max': Field(512, 'features of a block, at most', low=1),
}
_LAST_WIDTH = Field(64, 'features at the final resolution; twice as many at each halving', low=1)
_FIRST_WIDTH = Field(64, 'features of the first convolution; twice as many of each next one', low=1)
_MAX_WIDTH = Field(512, 'features of a layer, at most', low=1)
_KERNEL_SIZE = Field(5, 'height and width of the convolutions', low=1)
_BLOCKS = {
    'blocks': Field(2, 'residual blocks at each size', low=1),
    'group_size': Field(16, 'channels of a group of the 3x3 convolutions', low=1),
}
_CLASS_EMBEDDING_SHARED = Field(128, 'numbers of the class that all blocks share', low=1)
_STYLES = Section(
    {
        **_latents(512, 'normal'),
        **_PROGRESSIVE_WIDTHS,
        'style_size': Field(512, 'numbers in a style', low=1),
        'mixing': Field(0.9, 'share of images in training that are drawn from two styles', low=0, high=1),
    },
    fixed=True,
)
_STRIDED = {
    'layers': Field(3, 'convolutions with stride 2', low=1),
    'first_width': _FIRST_WIDTH,
    'max_width': _MAX_WIDTH,
    'kernel_size': _KERNEL_SIZE,
    'batch_norm': Field(True, 'batch normalization after each convolution but the first'),
}
_DENSE_WIDTH = Field(1000, 'features of the hidden dense layers', low=1)
GENERATORS: dict[str, Section] = {
    'progressive': Section(
        {
            **_latents(512, 'normal'),
            **_PROGRESSIVE_WIDTHS,
            'pixel_norm': Field(True, 'pixel normalization after each convolution'),
            **_attention(),
        },
        fixed=True,
    ),
    'dcgan': Section(
        {
            **_latents(100, 'uniform'),
            'class_embedding': _EMBEDDING,
            'last_width': _LAST_WIDTH,
            'max_width': _MAX_WIDTH,
            'kernel_size': _KERNEL_SIZE,
            'batch_norm': Field(True, 'batch normalization after each convolution'),
            'activation': Field('relu', 'relu or leaky_relu', choices=('relu', 'leaky_relu')),
        },
        fixed=True,
    ),
    'residual': Section(
        {
            **_latents(128, 'normal'),
            'last_width': _LAST_WIDTH,
            'max_width': _MAX_WIDTH,
            'spectral_norm': _SPECTRAL_NORM,
            **_attention(),
        },
        fixed=True,
    ),
    'perceptron': Section(
        {
            **_latents(100, 'uniform'),
            'layers': Field(2, 'hidden layers', low=1),
            'width': Field(1200, 'features of a hidden layer', low=1),
        },
        fixed=True,
    ),
    'r3gan': Section(
        {
            **_latents(64, 'normal'),
            'class_embedding': _EMBEDDING,
            'last_width': _LAST_WIDTH,
            'max_width': _MAX_WIDTH,
            **_BLOCKS,
        },
        fixed=True,
    ),
    'biggan': Section(
        {
            **_latents(128, 'normal'),
            'class_embedding': _CLASS_EMBEDDING_SHARED,
            'last_width': _LAST_WIDTH,
            'max_width': _MAX_WIDTH,
            'spectral_norm': _SPECTRAL_NORM_ON,
            **_attention(),
        },
        fixed=True,
    ),
    'stylegan': _STYLES,
    'stylegan2': _STYLES,
    'gran': Section(
        {
            **_latents(100, 'uniform'),
            'class_embedding': _EMBEDDING,
            'steps': Field(3, 'strokes that are summed to an image', low=1, high=8),
            'hidden_size': Field(256, 'numbers that the latent, and what was drawn, become', low=1),
            'last_width': _LAST_WIDTH,
            'max_width': _MAX_WIDTH,
            'kernel_size': _KERNEL_SIZE,
        },
        fixed=True,
    ),
}
_TRANSLATOR = Section(
    {'first_width': _FIRST_WIDTH, 'blocks': Field(9, 'residual blocks, at a quarter of the size', low=1)},
    fixed=True,
)
_TRANSLATING = ('cyclegan', 'pix2pix')
GENERATORS |= dict.fromkeys(_TRANSLATING, _TRANSLATOR)
# Without the fields that are for classes.
_DCGAN = {name: node for name, node in GENERATORS['dcgan'].fields.items() if name != 'class_embedding'}
GENERATORS |= {
    'infogan': Section({**_DCGAN, **_latents(62, 'uniform')}, fixed=True),
    'bigan': Section({**_DCGAN, **_latents(50, 'uniform')}, fixed=True),
    'aae': Section({**_latents(8, 'normal'), 'width': _DENSE_WIDTH}, fixed=True),
    'lapgan': Section(
        {
            **_latents(100, 'uniform'),
            'coarsest': Field(8, 'height of the coarsest level', choices=(4, 8, 16, 32)),
            'dense_width': Field(1200, 'features of its hidden layers', low=1),
            'width': Field(64, 'features of the convolutions of all finer levels', low=1),
        },
        fixed=True,
    ),
}
DISCRIMINATORS: dict[str, Section] = {
    'progressive': Section(
        {
            **_PROGRESSIVE_WIDTHS,
            'condition': _CONDITION,
            'spectral_norm': _SPECTRAL_NORM,
            'stddev_group': Field(4, 'images whose standard deviation is a feature', low=1),
            **_attention(),
        },
        fixed=True,
    ),
    'dcgan': Section(
        {
            'condition': _CONDITION,
            'layers': Field(4, 'convolutions with stride 2', low=1),
            'first_width': _FIRST_WIDTH,
            'max_width': _MAX_WIDTH,
            'kernel_size': _KERNEL_SIZE,
            'batch_norm': Field(True, 'batch normalization after each convolution but the first'),
            'dropout': Field(0.0, 'share of features dropped after each convolution', low=0, below=1),
        },
        fixed=True,
    ),
    'residual': Section(
        {
            'condition': _CONDITION,
            'first_width': _FIRST_WIDTH,
            'max_width': _MAX_WIDTH,
            'spectral_norm': _SPECTRAL_NORM,
            **_attention(),
        },
        fixed=True,
    ),
    'perceptron': Section(
        {
            'condition': Field(
                'concatenation',
                'how classes enter: beside the pixels, by projection, or by an auxiliary classifier',
                choices=('concatenation', *_CONDITIONS),
            ),
            'layers': Field(2, 'hidden layers', low=1),
            'width': Field(240, 'features of a hidden layer', low=1),
            'pieces': Field(5, 'linear maps whose largest is a feature', low=1),
            'dropout': Field(0.5, 'share of features dropped after each hidden layer', low=0, below=1),
        },
        fixed=True,
    ),
    'r3gan': Section(
        {'condition': _CONDITION, 'first_width': _FIRST_WIDTH, 'max_width': _MAX_WIDTH, **_BLOCKS}, fixed=True
    ),
}
DISCRIMINATORS |= {
    'biggan': Section({**DISCRIMINATORS['residual'].fields, 'spectral_norm': _SPECTRAL_NORM_ON}, fixed=True),
    'stylegan': DISCRIMINATORS['progressive'],
    'stylegan2': DISCRIMINATORS['progressive'],
    'gran': DISCRIMINATORS['dcgan'],
}
_JUDGED = {name: node for name, node in DISCRIMINATORS['dcgan'].fields.items() if name != 'condition'}
DISCRIMINATORS |= {
    'infogan': Section(_JUDGED, fixed=True),
    'bigan': Section(
        {**_JUDGED, 'joint_width': Field(512, 'features of the layers on codes, and on both', low=1)}, fixed=True
    ),
    'aae': Section({'width': _DENSE_WIDTH}, fixed=True),
    'lapgan': Section(
        {
            'width': Field(64, 'features of the convolutions', low=1),
            'dropout': Field(0.0, 'share of features dropped after each convolution', low=0, below=1),
        },
        fixed=True,
    ),
}
_PATCHES = {name: _STRIDED[name] for name in ('layers', 'first_width', 'max_width')}
_POOL = Field(50, 'earlier translated images of each domain that it is shown again; 0: none', low=0)
DISCRIMINATORS |= {
    'cyclegan': Section({**_PATCHES, 'pool': _POOL}, fixed=True),
    'pix2pix': Section(_PATCHES, fixed=True),
}
# What some families have beside the two.
ENCODERS: dict[str, Section] = {
    'bigan': Section(_STRIDED, fixed=True),
    'aae': Section({'width': _DENSE_WIDTH}, fixed=True),
}
FAMILIES: dict[str, Section] = {
    'stylegan2': Section(
        {
            'path_weight': Field(2.0, 'of the penalty on path lengths; 0 without', low=0),
            'path_decay': Field(0.01, 'share of a batch in the running mean of path lengths', above=0, high=1),
            'path_every': Field(4, 'updates of the generator; the penalty is as many times stronger', low=1),
            'path_share': Field(0.5, 'of the images of a batch whose path length is taken', above=0, high=1),
        }
    ),
    'infogan': Section(
        {
            'categories': Field(10, 'of the categorical code', low=2, fixed=True),
            'continuous': Field(2, 'codes that are uniform in [-1, 1)', low=0, fixed=True),
            'width': Field(128, 'features of the layer that finds them', low=1, fixed=True),
            'category_weight': Field(1.0, 'of the information about the category', low=0),
            'continuous_weight': Field(0.1, 'of that about the other codes', low=0),
        }
    ),
    'aae': Section(
        {
            'labelled': Field(0, 'images whose class is told, evenly by class; 0: all', low=0, fixed=True),
            'labelled_share': Field(
                0.25, 'of each batch, for them, where not all are told', above=0, high=1, fixed=True
            ),
            'reconstruction_weight': Field(100.0, 'of the mean square error of a pixel', low=0),
        }
    ),
}
FAMILIES |= {
    'cyclegan': Section(
        {
            'cycle_weight': Field(10.0, 'of the distance of images to their way there and back', low=0),
            'identity_weight': Field(5.0, 'of the change of images that are of the target already', low=0),
        }
    ),
    'pix2pix': Section({'supervised_weight': Field(100.0, 'of the distance to the counterpart', low=0)}),
}
TARGETS = dict.fromkeys(_TRANSLATING, common.DOMAIN)
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
        'start_from': Section(
            {
                'workdir': Field('', 'of the other run'),
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
