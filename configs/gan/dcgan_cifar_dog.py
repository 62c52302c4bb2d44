"""DCGAN for the dogs of CIFAR-10, 32x32 in colour: the seed document's baseline and its two tuned forms.

    python -m input_pipeline.prepare --source=image_folder --path=cifar10/train --name=cifar10_dog
    python -m gan.main --config=configs/gan/dcgan_cifar_dog.py:baseline --workdir=runs/dog_baseline
    python -m gan.main --config=configs/gan/dcgan_cifar_dog.py:tuned_2e4 --workdir=runs/dog_2e4
    python -m gan.main --config=configs/gan/dcgan_cifar_dog.py:tuned_3e4 --workdir=runs/dog_3e4
    python -m gan.report --workdir=runs/dog_baseline --workdir=runs/dog_2e4 --workdir=runs/dog_3e4 --out=runs/dogs

baseline: BatchNorm, ReLU, dropout 0.3, learning rate 2e-4, latents from a uniform. tuned_2e4, tuned_3e4: LeakyReLU
in the generator and that rate. Batch 32, 800 epochs of 5,000 images, a grid each 50. The source does not tell its
widths and kernel: DCGAN's, with a kernel of 4, which the stride divides.
From the TFDS catalogue: --config.data.name=cifar10 --config.data.classes='("dog",)'.
"""

from ml_collections import ConfigDict

from configs.gan import dcgan

VARIANTS = ('baseline', 'tuned_2e4', 'tuned_3e4')


def get_config(variant: str = 'baseline') -> ConfigDict:
    """One of the three models; `variant` is one of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(f'variant {variant!r} is unknown; choose one of {", ".join(VARIANTS)}')
    config = dcgan.get_config()
    config.resolution = 32
    config.channels = 3
    config.data.name = 'cifar10_dog'
    config.data.flip_horizontal = True
    config.generator.max_width = 256
    config.generator.kernel_size = 4
    config.discriminator.layers = 3
    config.discriminator.max_width = 256
    config.discriminator.kernel_size = 4
    config.discriminator.dropout = 0.3
    if variant != 'baseline':
        config.generator.activation = 'leaky_relu'
    rate = 3e-4 if variant == 'tuned_3e4' else 2e-4
    config.optimizer.generator_learning_rate = config.optimizer.discriminator_learning_rate = rate
    config.schedule.batch_size = {'at_32': 32}
    config.schedule.stable_images = 0
    config.schedule.final_epochs = 800
    config.run.sample_images = 250_000  # 50 epochs
    config.run.checkpoint_images = 250_000
    return config
