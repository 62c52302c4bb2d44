"""What folders of images hold: manifests, for every task alike."""

__all__ = ['manifest']
