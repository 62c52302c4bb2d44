"""WGAN with clipped weights, for any size from 32 to 256 (Arjovsky et al. 2017, arXiv:1701.07875).

    python -m gan.main --config=configs/gan/wgan.py --workdir=runs/wgan --config.data.name=NAME

For the record beside `wgan_gp`: DCGAN's networks with batch normalization in both, the difference of mean logits,
five critic steps a generator step, RMSProp 5e-5, all weights of the critic within 0.01 (algorithm 1). Expect slow
training, and samples behind those of WGAN-GP: clipping lets the critic learn simple functions alone (Gulrajani et
al. 2017, section 3). Ours: its RMSProp forgets at 0.99 a step, as PyTorch's does.
"""

from ml_collections import ConfigDict

from configs.gan import dcgan


def get_config() -> ConfigDict:
    """WGAN's differences from DCGAN."""
    config = dcgan.get_config()
    config.generator.latent_distribution = 'normal'
    config.loss.name = 'wasserstein'
    config.optimizer.name = 'rmsprop'
    config.optimizer.generator_learning_rate = 5e-5
    config.optimizer.discriminator_learning_rate = 5e-5
    config.optimizer.discriminator_steps = 5
    config.optimizer.discriminator_limit = 0.01
    config.optimizer.b2 = 0.99
    config.schedule.batch_size = {'at_32': 64, 'at_64': 64, 'at_128': 64, 'at_256': 32}
    config.schedule.stable_images = 5_000_000
    return config
