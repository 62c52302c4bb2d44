"""LSGAN for any size from 32 to 256 (Mao et al. 2017, arXiv:1611.04076).

    python -m gan.main --config=configs/gan/lsgan.py --workdir=runs/lsgan --config.data.name=NAME

DCGAN whose discriminator fits 1 to real and 0 to generated images by least squares, and whose generator wants 1
(equation 9 with a = 0, b = c = 1): samples far on the right side of the border are still pulled to it. It is the
loss that CycleGAN uses. Ours: the learning rate of DCGAN, 2e-4, for the 1e-3 of the paper.
"""

from ml_collections import ConfigDict

from configs.gan import dcgan


def get_config() -> ConfigDict:
    """LSGAN's differences from DCGAN."""
    config = dcgan.get_config()
    config.loss.name = 'least_squares'
    return config
