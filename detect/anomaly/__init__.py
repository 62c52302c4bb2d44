"""Scores of how far an image is from real ones, fitted on real training patients alone; no fake is needed."""

__all__ = ['codes', 'gaussian', 'patchcore']
