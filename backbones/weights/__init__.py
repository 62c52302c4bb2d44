"""Weights from files of other frameworks, read without running anything that is in them."""

from backbones.weights.importing import KINDS, Imported, import_weights
from backbones.weights.reading import WeightFile, read_weights

__all__ = ['KINDS', 'Imported', 'WeightFile', 'import_weights', 'naming', 'read_weights', 'reading']
