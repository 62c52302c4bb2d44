"""PGGAN against Enhanced-GAN at 32x32: the same widths, data, classes and number of images, on two CPU cores.

    python -m gan.main --config=configs/gan/comparison.py:pggan --workdir=runs/pggan --config.data.name=NAME
    python -m gan.main --config=configs/gan/comparison.py:enhanced --workdir=runs/enhanced --config.data.name=NAME
    python -m gan.evaluate --workdir=runs/enhanced --against=runs/pggan --extractor=runs/classifier

Each has its own recipe: PGGAN the gradient penalty and the official learning rates, Enhanced-GAN the hinge loss,
spectral normalization and self-attention before the last block. Expect PGGAN to take twice to three times as long,
for its penalty needs second derivatives.
"""

from ml_collections import ConfigDict

from configs.gan import pggan, quickstart

VARIANTS = ('pggan', 'enhanced')


def get_config(variant: str = 'pggan') -> ConfigDict:
    """One side of the comparison; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = quickstart.get_config()
    if variant == 'pggan':
        plain = pggan.get_config()
        config.loss = plain.loss
        config.optimizer = plain.optimizer
        config.discriminator.spectral_norm = plain.discriminator.spectral_norm
        for network in (config.generator, config.discriminator):
            network.attention_resolution = 0
    config.schedule.fade_images = 6_000
    config.schedule.stable_images = 6_000
    config.schedule.final_images = 18_000
    return config
