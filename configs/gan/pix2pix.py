"""pix2pix for 32x32 to 256x256: images of one kind become images of another, learnt from pairs.

    python -m gan.main --config=configs/gan/pix2pix.py --workdir=runs/ct_to_mr_paired \
        --config.data.name=CT --config.target.name=MR

Purpose: the upper bound of what CycleGAN can learn, where the same patients have registered images of both kinds.
Images are paired by patient and key, or by patient and slice; those without a counterpart are left out.
Source: Isola et al. 2017, arXiv:1611.07004: cross-entropy before a discriminator of pairs, and 100 times the mean
absolute difference; patches of 70x70, Adam 2e-4 with b1 .5.
Deviations: CycleGAN's residual translator in place of a U-Net, with its schedule, so that the two differ in what
they are shown; no dropout: the same image always becomes the same.
Expected: a lower error against the truth than CycleGAN on the same images.
"""

from ml_collections import ConfigDict

from configs.gan import cyclegan
from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """CycleGAN's translator and training, the paper's losses."""
    config = cyclegan.train_like_cyclegan(create(GAN, architecture='pix2pix'))
    config.loss.name = 'non_saturating'
    return config
