"""Radiomic features: what radiologists' software measures in images, by the definitions of IBSI."""

from backbones.radiomics.images import DIAGNOSTICS, FEATURES, describe_images
from backbones.radiomics.words import describe_feature

__all__ = ['DIAGNOSTICS', 'FEATURES', 'describe_feature', 'describe_images']
