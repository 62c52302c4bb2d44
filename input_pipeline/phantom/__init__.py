"""Phantom: procedurally drawn CT, MR and X-ray images with anatomy, lesions and masks, decided by a seed."""

from input_pipeline.phantom.contrasts import ContrastOptions, scan_contrasts
from input_pipeline.phantom.dataset import PhantomOptions, scan, store
from input_pipeline.phantom.images import MODALITIES, draw

__all__ = ['MODALITIES', 'ContrastOptions', 'PhantomOptions', 'draw', 'scan', 'scan_contrasts', 'store']
