"""SNGAN with residual networks, for any size from 32 to 256 (Miyato et al. 2018, arXiv:1802.05957).

    python -m gan.main --config=configs/gan/sngan.py --workdir=runs/sngan --config.data.name=NAME

Spectral normalization in the discriminator, hinge loss, five discriminator steps a generator step, Adam 2e-4 with
b1 0 and b2 0.9 (the paper's setting for residual networks). Images of 32x32 with
--config.generator.last_width=16 --config.discriminator.first_width=16 train on two CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan import wgan_gp


def get_config() -> ConfigDict:
    """SNGAN's differences from WGAN-GP."""
    config = wgan_gp.get_config()
    config.discriminator.spectral_norm = True
    config.loss.name = 'hinge'
    config.loss.penalty = 'none'
    return config
