"""The U-Net's config for images of one size, where there are no data to look at."""

from ml_collections import ConfigDict

from configs.segment import unet
from segment.suggestions import suggest_sizes


def create_unet_config(variant: str, side: int) -> ConfigDict:
    """A U-Net's config.

    Args:
      variant: of `unet.VARIANTS`.
      side: pixels a side of the images, which are as large as the patches and have one kind of mask.
    """
    config = unet.get_config(variant)
    config.resolution = config.patch = side
    config.channels, config.mask_classes, config.data.window, config.data.fit = 1, 1, 'auto', 'native'
    depth, batch_size = suggest_sizes(side)
    config.network.depth = config.network.depth or depth.value
    config.schedule.batch_size = config.schedule.batch_size or batch_size.value
    return config
