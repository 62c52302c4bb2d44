"""An invisible mark in the pixels, found again by who has the key; NumPy and SciPy alone."""

from foundation.watermark.carrier import BITS, SMALLEST, MarkKey, create_carrier, read_key
from foundation.watermark.detection import Finding, detect, examine
from foundation.watermark.embedding import embed

__all__ = ['BITS', 'SMALLEST', 'Finding', 'MarkKey', 'create_carrier', 'detect', 'embed', 'examine', 'read_key']
