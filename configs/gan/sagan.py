"""SAGAN for any size from 32 to 256 (Zhang et al. 2019, arXiv:1805.08318).

    python -m gan.main --config=configs/gan/sagan.py --workdir=runs/sagan --config.data.name=NAME

Self-attention on the 32x32 map (16x16 where images are 32x32), spectral normalization in both networks, hinge
loss, one discriminator step a generator step, learning rates 4e-4 (discriminator) and 1e-4 (generator), b1 0, b2
0.9. With --config.conditional=True as in the paper.
"""

from ml_collections import ConfigDict

from configs.gan import sngan


def get_config() -> ConfigDict:
    """SAGAN's differences from SNGAN."""
    config = sngan.get_config()
    config.generator.spectral_norm = True
    for network in (config.generator, config.discriminator):
        network.attention_resolution = 64
        network.attention_chunk = 2048
    config.optimizer.generator_learning_rate = 1e-4
    config.optimizer.discriminator_learning_rate = 4e-4
    config.optimizer.discriminator_steps = 1
    return config
