"""Enhanced-GAN at 256x256: PGGAN with self-attention before the 256x256 block and spectral normalization in the
discriminator (Waqas et al. 2022, IEEE Access 10:80847-80857).

    python -m gan.main --config=configs/gan/enhanced_gan.py --workdir=runs/enhanced --config.data.name=NAME

For one accelerator or many. Smaller images: --config.resolution=128 (attention then stands before the last block).
"""

from ml_collections import ConfigDict

from configs.gan import pggan


def get_config() -> ConfigDict:
    """Enhanced-GAN's differences from PGGAN."""
    config = pggan.get_config()
    for network in (config.generator, config.discriminator):
        network.attention_resolution = 256
        network.attention_chunk = 2048
    config.discriminator.spectral_norm = True
    # Spectral normalization bounds the discriminator's slope, so no gradient penalty is needed beside it.
    config.loss.name = 'hinge'
    config.loss.penalty = 'none'
    config.loss.drift_weight = 0.0
    # Three quarters of the generator's: the ratio that kept the two in balance on MedNIST (small.py).
    config.optimizer.discriminator_learning_rate = 7.5e-4
    return config
