"""Scores of how far an image is from real ones, fitted on real training patients alone; no fake is needed."""

__all__ = ['gaussian', 'patchcore']
