"""InfoGAN for 32x32 to 128x128: finds classes, and what varies within them, without labels.

    python -m gan.main --config=configs/gan/infogan.py --workdir=runs/infogan --config.data.name=NAME

Purpose: a generator with a category and two continuous codes, which a head on the discriminator finds again in
its images; applied to real images, that head tells their class. --config.family.categories is their number.
Source: Chen et al. 2016, arXiv:1606.03657: 62 numbers of noise, weights 1 (category) and 0.1 (others), Adam 2e-4
for the discriminator and 1e-3 for the generator, b1 0.5.
Deviations: the discriminator has no batch normalization, so that what it finds in an image does not depend on the
others; nor has the head. The head is trained in both updates; the authors' code moves it in the discriminator's.
Expected: category_information rises to nearly log(categories) nats before images are good. Measured on MedNIST
at 32x32 with --config.generator.last_width=16 --config.discriminator.first_width=16 and six categories (batch 64,
36,000 images, five minutes on two shared CPU cores, one run): 1.77 of 1.79 nats, but a purity of 0.60 only: the
codes are first shown as what real images are not. Train much longer before its categories are trusted.
"""

from ml_collections import ConfigDict

from configs.gan import dcgan
from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """DCGAN's training, InfoGAN's networks and rates."""
    config = dcgan.train_like_dcgan(create(GAN, architecture='infogan'))
    config.resolution = 32
    config.discriminator.layers = 3
    config.discriminator.batch_norm = False
    config.optimizer.generator_learning_rate = 1e-3
    return config
