"""Progressive generative adversarial networks for medical images: PGGAN and Enhanced-GAN."""

from foundation import startup  # noqa: F401  (before all that takes time)
from foundation.training import native_log  # noqa: F401  (before JAX)

__all__ = [
    'attention',
    'domains',
    'evaluation',
    'families',
    'features',
    'generator',
    'latents',
    'layers',
    'networks',
    'recipe',
    'release',
    'reporting',
    'sampler',
    'samples',
    'schedule',
    'scores',
    'state',
    'step',
    'strided',
    'train',
    'watermark',
    'weights',
]
