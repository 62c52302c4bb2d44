"""BiGAN for 32x32 to 128x128: an encoder beside the generator, for codes of images and for anomalies.

    python -m gan.main --config=configs/gan/bigan.py --workdir=runs/bigan --config.data.name=NAME

Purpose: `gan.encode` gives codes, reconstructions and an anomaly score of images.
Source: Donahue et al. 2017, arXiv:1605.09782 (section 4: DCGAN's networks, 50 uniform latents, Adam 2e-4, b1 0.5);
Dumoulin et al. 2017, arXiv:1606.00704. The anomaly score is that of Zenati et al. 2018, arXiv:1802.06222.
Deviations: the discriminator has no batch normalization, so that the score of an image does not depend on the
others, but dropout 0.2; weights do not decay. No classes: the code alone is to tell what an image shows.
Expected: reconstructions show the same kind of image, not the same image (the paper says so too). Its quality here
is not measured yet; at 32x32 with --config.generator.last_width=16 --config.discriminator.first_width=16
--config.encoder.first_width=16 a step of 64 images takes 1.5 s on two shared CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan import dcgan
from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """DCGAN's training, BiGAN's networks."""
    config = dcgan.train_like_dcgan(create(GAN, architecture='bigan'))
    config.resolution = 32
    config.discriminator.layers = 3
    config.discriminator.batch_norm = False
    config.discriminator.dropout = 0.2
    return config
