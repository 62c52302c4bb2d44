"""Detectors of synthetic and altered medical images: calibrated, explained, and tested against attack."""
