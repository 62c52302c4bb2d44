"""StarGAN for 32x32 to 256x256: images of any class become images of any other, by one network.

    python -m gan.main --config=configs/gan/stargan.py --workdir=runs/contrasts \
        --config.data.name=NAME --config.data.classes="('CT', 'T1', 'T2')"

Purpose: several MR contrasts, scanners or kernels at once, where CycleGAN would train two networks for each pair.
The domains are the classes of one prepared set; `gan.translate --to=CLASS` translates to one of them. All share
one window, so that values keep their meaning: 'dataset', or 'physical' with `window_range`; no class has its own.
Source: Choi et al. 2018, arXiv:1711.09020: a residual translator that is shown the wanted class, a discriminator
of patches that also names the class, WGAN-GP of weight 10, classes of weight 1, 10 times the way there and back,
five critic steps, Adam 1e-4 with b1 .5, batches of 16; the learning rate falls to 0 over the second half of
200,000 steps.
Deviations: padding mirrors, and the first convolution is not normalized, or both together would take away what the
planes of the class tell (the paper pads with zeros, and the edges tell it); targets are the classes of the batch
in another order; a running mean of the generator translates; layers that halve and double have kernels of 4x4.
Others: --config.loss.name=hinge --config.loss.penalty=zero_centred, or --config.loss.name=relativistic with
--config.loss.penalty=zero_centred_both. Images of 32x32 ask for --config.discriminator.layers=4.
The schedule and `anneal.images` have the same length: change both.
Expected: a classifier trained on the real images calls translated ones what they should be, 0.95 of the time or
more. Whether lesions are kept must be looked at, as with CycleGAN.
"""

from ml_collections import ConfigDict

from configs.gan.cyclegan import train_like_cyclegan
from configs.gan.schema import GAN
from configs.schema import create

IMAGES = 3_200_000  # 200,000 steps of the discriminator


def get_config() -> ConfigDict:
    """The paper's networks for 128x128, and its training."""
    config = train_like_cyclegan(create(GAN, architecture='stargan'))
    config.conditional = True
    config.discriminator.layers = 6
    config.discriminator.max_width = 2048
    config.loss.name = 'wasserstein'
    config.loss.penalty = 'gradient'
    config.optimizer.generator_learning_rate = 1e-4
    config.optimizer.discriminator_learning_rate = 1e-4
    config.optimizer.discriminator_steps = 5
    config.average.half_life = 10_000.0
    config.anneal.half_life = 10_000.0
    config.anneal.images = IMAGES
    config.schedule.batch_size = {f'at_{size}': 16 for size in (32, 64, 128, 256)}
    config.schedule.stable_images = IMAGES
    return config
