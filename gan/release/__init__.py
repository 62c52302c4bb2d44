"""The release gate: are generated images, and the generator, far enough from the patients it was trained on?"""

__all__ = ['nearest']
