"""DCGAN for medical images at 128x128, grey or colour: X-ray, CT, tissue, retina.

    python -m gan.main --config=configs/gan/dcgan_medical.py --workdir=runs/dcgan_medical --config.data.name=NAME
    python -m gan.main --config=configs/gan/dcgan_medical.py:gradient_penalty --workdir=runs/dcgan_medical_gp ...

The seed document's system: generator of 512/256/128/64/32 features, discriminator of 64/128/256/512, kernel 5,
Adam 3e-4, batch 128, 150 epochs, binary cross-entropy; and the same held to slopes of 1 by a gradient penalty.
About 18 GFLOP an image: for accelerators; --config.resolution=32
--config.discriminator.layers=3 runs on two CPU cores.
"""

from ml_collections import ConfigDict

from configs.gan import dcgan

VARIANTS = ('cross_entropy', 'gradient_penalty')


def get_config(variant: str = 'cross_entropy') -> ConfigDict:
    """The medical DCGAN; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = dcgan.get_config()
    config.resolution = 128
    config.generator.latent_distribution = 'normal'
    config.generator.last_width = 32
    config.generator.batch_norm = False
    config.generator.activation = 'leaky_relu'
    config.discriminator.batch_norm = False
    config.discriminator.dropout = 0.3
    config.optimizer.generator_learning_rate = 3e-4
    config.optimizer.discriminator_learning_rate = 3e-4
    config.schedule.stable_images = 0
    config.schedule.final_epochs = 150
    if variant == 'gradient_penalty':
        config.loss.name = 'wasserstein'
        config.loss.penalty = 'gradient'
        config.discriminator.dropout = 0.0
    return config
