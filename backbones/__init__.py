"""Networks of images that more than one task uses, and their weights."""

from foundation import startup  # noqa: F401  (before all that takes time)
from foundation.training import native_log  # noqa: F401  (before JAX)

__all__ = [
    'augmentation',
    'classifier',
    'contrastive',
    'encoders',
    'evaluation',
    'extractors',
    'grids',
    'images',
    'networks',
    'preprocessing',
    'radiomics',
    'recipe',
    'schedule',
    'splits',
    'step',
    'train',
    'warping',
    'weights',
    'windows',
]
