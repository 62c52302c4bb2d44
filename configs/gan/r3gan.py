"""R3GAN for any size from 32 to 256 (Huang et al. 2024, arXiv:2501.05441).

    python -m gan.main --config=configs/gan/r3gan.py --workdir=runs/r3gan --config.data.name=NAME

A relativistic loss of pairs, R1 and R2 in every step, residual networks of grouped convolutions without any
normalisation, fresh real images for both networks. One cosine leads learning rates (2e-4 to 5e-5), Adam's b2 (0.9
to 0.99), the running mean's half-life (0 to 500,000 images), the probability of augmentations (0 to 0.3) and the
weight of the penalty (to a tenth) from start to end. That weight depends on size and data; the paper begins with
0.05 at 32x32 (CIFAR-10), 2 at 64x64, 150 at 256x256. Ours: a schedule for thousands of images, not millions, and
the augmentations of `gan.augmentation`; --config.loss.penalty_slope=differences makes steps faster (docs/zoo.md).

On two CPU cores: 32x32 with --config.generator.last_width=16 --config.discriminator.first_width=16
--config.generator.blocks=1 --config.discriminator.blocks=1 --config.loss.penalty_weight=0.05.
"""

from ml_collections import ConfigDict

from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """The paper's recipe; every field of R3GAN's networks."""
    config = create(GAN, architecture='r3gan')
    config.resolution = 64
    config.loss.name = 'relativistic'
    config.loss.penalty = 'zero_centred_both'
    config.loss.penalty_weight = 2.0
    config.loss.drift_weight = 0.0
    config.optimizer.generator_learning_rate = 2e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.average.half_life = 500_000.0
    config.anneal.images = 1_000_000
    config.anneal.augmentation = 0.3
    config.augment.operations = ('flip', 'translation', 'scaling', 'brightness', 'contrast')
    config.schedule.initial_resolution = 0
    config.schedule.batch_size = {'at_32': 128, 'at_64': 128, 'at_128': 64, 'at_256': 32}
    config.schedule.fade_images = 0
    config.schedule.stable_images = 5_000_000
    return config
