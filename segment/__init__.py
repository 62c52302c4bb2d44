"""U-Nets that draw outlines in medical images, what they are worth, and what generated images add to them."""

from foundation import startup  # noqa: F401  (before all that takes time)
from foundation.training import native_log  # noqa: F401  (before JAX)

__all__ = ['inference', 'networks', 'recipe', 'step', 'studies', 'suggestions', 'volumes']
