"""LAPGAN for 16x16 to 64x64: a GAN for each level of a Laplacian pyramid.

    python -m gan.main --config=configs/gan/lapgan.py --workdir=runs/lapgan --config.data.name=NAME

Purpose: the first GAN that drew coarse to fine, for comparison; each level is trained by itself.
Source: Denton et al. 2015, arXiv:1506.05751: dense layers of 1,200 at the coarsest level, three convolutions for a
residual, two in a discriminator, cross-entropy, dropout.
Deviations: levels of 8, 16, 32 ... pixels (the paper: 8, 14, 28), means of 2x2 pixels as low-pass, Adam 2e-4 with
b1 0.5 for SGD, all levels in one step: they share nothing, so that this is the training of each alone.
Expected: shapes are those of the coarsest level, edges sharper than its own. Its quality here is not measured yet
(after 24,000 images of MedNIST there are no shapes); at 32x32 with --config.generator.width=32
--config.discriminator.width=32 a step of 64 images takes 0.6 s on two shared CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan import dcgan
from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """DCGAN's training, LAPGAN's networks."""
    config = dcgan.train_like_dcgan(create(GAN, architecture='lapgan'))
    config.resolution = 32
    config.discriminator.dropout = 0.3
    return config
