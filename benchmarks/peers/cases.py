"""What is compared on CPUs, at sizes that two cores finish in a quarter of an hour."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class PeerCase:
    """A row of the table.

    Attributes:
      label: what is compared, for a reader.
      pair: its name in `pairs.PAIRS`.
      peer: whose the other version is.
      resolution, batch: as the pair takes them.
      size: both in words.
    """

    label: str
    pair: str
    peer: str
    resolution: int
    batch: int
    size: str


def _images(label: str, pair: str, peer: str, resolution: int, batch: int) -> PeerCase:
    return PeerCase(label, pair, peer, resolution, batch, f'{batch} of {resolution}x{resolution}')


def _vectors(label: str, pair: str, peer: str, features: int, count: int) -> PeerCase:
    return PeerCase(label, pair, peer, features, count, f'2 x {count:,} of {features:,}')


CASES: tuple[PeerCase, ...] = (
    _images('PGGAN, WGAN-GP: step', 'pggan_narrow', 'PyTorch', 32, 16),
    _images('PGGAN, WGAN-GP: step', 'pggan_narrow', 'PyTorch', 64, 8),
    _images('Enhanced-GAN: step', 'enhanced_gan_narrow', 'PyTorch', 32, 16),
    _images('Enhanced-GAN: step', 'enhanced_gan_narrow', 'PyTorch', 64, 8),
    _images('DCGAN: step', 'dcgan', 'PyTorch', 32, 64),
    _images('DCGAN: step', 'dcgan', 'PyTorch', 64, 32),
    _images('SNGAN: cycle of 5 + 1 updates', 'sngan_narrow', 'PyTorch', 32, 32),
    _images('SNGAN: cycle of 5 + 1 updates', 'sngan_narrow', 'PyTorch', 64, 16),
    _images('U-Net: training step', 'unet_training', 'PyTorch', 128, 4),
    _images('U-Net: prediction', 'unet_prediction', 'PyTorch', 512, 1),
    _images('U-Net: training step', 'monai_training', 'MONAI DynUNet', 128, 4),
    _images('U-Net: prediction', 'monai_prediction', 'MONAI DynUNet', 512, 1),
    _images('ResNet-18: prediction', 'resnet18_prediction', 'torchvision', 224, 8),
    _images('ResNet-18: gradient', 'resnet18_gradient', 'torchvision', 224, 8),
    _images('ResNet-50: prediction', 'resnet50_prediction', 'torchvision', 224, 4),
    _images('ResNet-50: gradient', 'resnet50_gradient', 'torchvision', 224, 4),
    _images('PatchCore: fit', 'patchcore_fit', 'anomalib', 224, 16),
    _images('PatchCore: score', 'patchcore_score', 'anomalib', 224, 8),
    _images('PaDiM: fit', 'padim_fit', 'anomalib', 224, 16),
    _images('PaDiM: score', 'padim_score', 'anomalib', 224, 8),
    _vectors('Frechet distance', 'frechet', 'torch-fidelity', 2048, 4096),
    _vectors('Kernel distance, 100 subsets of 1,000', 'kernel', 'torch-fidelity', 128, 5000),
    _vectors('Precision, recall, density, coverage', 'shares_prdc', 'prdc', 128, 5000),
    _vectors('Precision, recall', 'shares_torch_fidelity', 'torch-fidelity', 128, 5000),
)
