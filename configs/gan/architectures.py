"""Fields of a GAN's config that its architecture decides: those of its networks, and of its family."""

from configs import common
from configs.schema import Field, Section, added_field

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
_TRANSLATING = ('cyclegan', 'pix2pix')  # between two domains
GENERATORS |= dict.fromkeys((*_TRANSLATING, 'stargan'), _TRANSLATOR)
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
    'stargan': Section(_PATCHES, fixed=True),
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
_CYCLE = Field(10.0, 'of the distance of images to their way there and back', low=0)
FAMILIES |= {
    'cyclegan': Section(
        {
            'cycle_weight': _CYCLE,
            'identity_weight': Field(5.0, 'of the change of images that are of the target already', low=0),
            'gradient_weight': added_field(0.0, 'of what edges lack to correlate with those of the source', low=0),
        }
    ),
    'stargan': Section({'cycle_weight': _CYCLE}),
    'pix2pix': Section({'supervised_weight': Field(100.0, 'of the distance to the counterpart', low=0)}),
}
TARGETS = dict.fromkeys(_TRANSLATING, common.DOMAIN)
