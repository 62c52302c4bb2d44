"""BigGAN for any size from 32 to 256 (Brock et al. 2019, arXiv:1809.11096), by its recipe for CIFAR-10.

    python -m gan.main --config=configs/gan/biggan.py --workdir=runs/biggan --config.data.name=NAME

Each block is told the class, by an embedding that all share, and a chunk of the latent, through the gains and
biases of its batch normalization; attention, spectral normalization in both networks, orthogonal weights and a
penalty that keeps them so, hinge loss, four discriminator steps a generator step, Adam 2e-4 with b1 0, b2 0.999.
With --config.conditional=True as in the paper; without classes the chunks alone reach the blocks.

Deviations: the discriminator is SNGAN's (its last block halves, too); layers of attention are drawn normal; the
running mean of the weights is shorter, as runs are, and its batch statistics follow it while it is trained, so
that standing statistics are taken for truncated latents alone. `gan.generate --truncation` trades recall for
precision; `gan.sweep` measures how much.

Images of 32x32 with --config.generator.last_width=16 --config.discriminator.first_width=16
--config.optimizer.discriminator_steps=1 train on two CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """The paper's networks and optimiser for small images."""
    config = create(GAN, architecture='biggan')
    config.resolution = 64
    for network in (config.generator, config.discriminator):
        network.attention_resolution = 64
        network.attention_chunk = 2048
    config.loss.name = 'hinge'
    config.loss.penalty = 'none'
    config.loss.drift_weight = 0.0
    config.loss.orthogonal_weight = 1e-4
    config.optimizer.generator_learning_rate = 2e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.optimizer.discriminator_steps = 4
    config.optimizer.b2 = 0.999
    config.average.half_life = 20_000.0
    config.average.ramp = 0.1
    config.schedule.initial_resolution = 0
    config.schedule.batch_size = {'at_32': 64, 'at_64': 64, 'at_128': 64, 'at_256': 32}
    config.schedule.fade_images = 0
    config.schedule.stable_images = 5_000_000
    return config
