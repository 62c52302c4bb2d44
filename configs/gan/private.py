"""Enhanced-GAN at 32x32 with differential privacy: DP-SGD on the discriminator, which alone sees real images.

    python -m gan.main --config=configs/gan/private.py --workdir=runs/private --config.data.name=NAME

Sources: Abadi et al. 2016 (arXiv:1607.00133); for GANs Xie et al. 2018 (arXiv:1802.06739) and Bie et al. 2023
(arXiv:2302.02936). Deviations: real and drawn images are clipped as pairs; networks are narrow, grow, and have
neither attention, penalty nor the deviation within a batch; noise is found for a budget of epsilon 10. It
protects single images; `--config.privacy.unit=patient` protects patients, who are fewer, so that more noise is
needed. Needs the extra `privacy`; docs/privacy.md says what is promised, and what it costs.
"""

from ml_collections import ConfigDict

from configs.gan import small


def get_config() -> ConfigDict:
    """The small config without anything that mixes the images of a batch, or looks at them twice."""
    config = small.get_config()
    config.resolution = 32
    config.data.phantom.size = 32
    config.loss.name = 'non_saturating'
    config.loss.penalty = 'none'
    config.loss.drift_weight = 0.0
    config.generator.fmap_base, config.generator.fmap_max = 256, 32
    config.discriminator.fmap_base, config.discriminator.fmap_max = 256, 16
    config.generator.attention_resolution = config.discriminator.attention_resolution = 0
    config.discriminator.stddev_group = 1
    config.privacy.epsilon = 10.0
    config.privacy.clip_norm = 1.0
    config.privacy.unit = 'image'
    config.schedule.initial_resolution = 8
    config.schedule.batch_size = {'at_8': 64, 'at_16': 64, 'at_32': 64}
    config.schedule.fade_images = 6_400
    config.schedule.stable_images = 6_400
    config.schedule.final_images = 12_800
    config.watch.images = 0
    config.run.log_images = 1_600
    config.run.sample_images = 12_800
    config.run.checkpoint_images = 12_800
    return config
