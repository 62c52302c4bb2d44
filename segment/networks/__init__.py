"""Networks that give each pixel a class."""

from segment.networks.unet import UNet

__all__ = ['UNet']
