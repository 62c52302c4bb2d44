"""CycleGAN for 32x32 to 256x256: images of one kind become images of another, learnt without pairs.

    python -m gan.main --config=configs/gan/cyclegan.py --workdir=runs/ct_to_mr \
        --config.data.name=CT --config.target.name=MR

Purpose: CT from MR, one MR contrast from another, one scanner's look from another's; `gan.translate` does it.
The domains are two prepared sets, or `data.classes` (`data.modalities`) and `target.classes`
(`target.modalities`) of one. A patient who is in both trains only where both have him in this split. Windows are
the same for all images of a domain, so that values keep their meaning: 'dataset', or 'physical' with
`window_range`.
Source: Zhu et al. 2017, arXiv:1703.10593: residual translators, patches of 70x70, least squares, 10 times the way
there and back, 5 times the identity, a pool of 50 earlier fakes, Adam 2e-4 with b1 .5, batches of 1; the learning
rate falls to 0 over the second half.
Deviations: layers that halve and double have kernels of 4x4, against chequered images; normalization has gains and
biases; a running mean of the generator translates, as everywhere here; the discriminators' losses are not halved,
which Adam does not feel. Against known faults: --config.loss.name=relativistic --config.loss.penalty=zero_centred.
The schedule and `anneal.images` have the same length: change both.
Expected: a translated image looks like the target. Whether its lesions are those of its source must be looked at:
where one domain has more of them, they are invented or lost (Cohen et al. 2018, arXiv:1805.08841).
"""

from ml_collections import ConfigDict

from configs.gan.schema import GAN
from configs.schema import create


def get_config() -> ConfigDict:
    """The paper's networks for 128x128, and its training."""
    config = train_like_cyclegan(create(GAN, architecture='cyclegan'))
    config.loss.name = 'least_squares'
    return config


def train_like_cyclegan(config: ConfigDict) -> ConfigDict:
    """A config of translators, with the optimiser and the schedule of CycleGAN."""
    config.resolution = 128
    config.data.window = 'dataset'
    if 'target' in config:
        config.target.window = 'dataset'
    config.generator.blocks = 6
    config.loss.penalty = 'none'
    config.loss.drift_weight = 0.0
    config.optimizer.generator_learning_rate = 2e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.999
    config.average.half_life = 1_000.0
    config.anneal.images = 200_000
    config.anneal.shape = 'linear'
    config.anneal.constant = 0.5
    config.anneal.learning_rate = 0.0
    config.anneal.b2 = 0.999
    config.anneal.half_life = 1_000.0
    config.anneal.penalty = 1.0
    config.schedule.initial_resolution = 0
    config.schedule.batch_size = {f'at_{size}': 1 for size in (32, 64, 128, 256)}
    config.schedule.fade_images = 0
    config.schedule.stable_images = 200_000
    return config
