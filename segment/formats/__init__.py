"""Predicted masks as files in the geometry of their images: PNG, NIfTI, DICOM SEG, and overlays for people."""
