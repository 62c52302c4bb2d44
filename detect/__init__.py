"""Detectors of synthetic and altered medical images: calibrated, explained, and tested against attack."""

from foundation import startup  # noqa: F401  (before all that takes time)
from foundation.training import native_log  # noqa: F401  (before JAX)

__all__ = ['anomaly', 'file_degradations', 'judge', 'prepare', 'recipe', 'step', 'train']
