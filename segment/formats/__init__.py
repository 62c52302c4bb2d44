"""Predicted masks as files in the geometry of their images, and overlays for people."""
