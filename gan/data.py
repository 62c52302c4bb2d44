"""The training images of a GAN."""

from ml_collections import ConfigDict

import input_pipeline
from backbones.images import request_images
from foundation.training.errors import UserError
from gan.setup import ImageFormat


def open_images(config: ConfigDict) -> input_pipeline.ImageData:
    """Opens the configured training split.

    Raises:
      DataError: when the data set is missing, damaged, or not what the config expects.
      UserError: when a condition is asked for and there are no classes.
    """
    images = open_split(config, config.data.split, flip=True, in_memory=True)
    if config.conditional and not images.classes:
        raise UserError(f'config.conditional is set, but the data set {images.name!r} has no classes.')
    return images


def open_split(config: ConfigDict, split: str, *, flip: bool, in_memory: bool) -> input_pipeline.ImageData:
    """Opens any split as the networks see it; see `backbones.images.ImageRequest`."""
    request = request_images(
        config, mask_classes=config.mask_classes, context=0, target='class', foreground_share=0.0
    )
    return request.open(split, flip=flip, in_memory=in_memory)


def image_format(config: ConfigDict, classes: tuple[str, ...]) -> ImageFormat:
    """The channels and classes that the networks of a run have."""
    return ImageFormat(config.channels, config.mask_classes, len(classes) if config.conditional else 0)
