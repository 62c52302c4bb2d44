"""PGGAN (Karras et al. 2018, arXiv:1710.10196, table 2) and Enhanced-GAN (Waqas et al. 2022, IEEE Access
10:80847-80857) in PyTorch. Layers bear the names of ours; see `copying`.
"""

import torch
from torch import Tensor, nn

from benchmarks.peers.networks.layers import (
    HE_GAIN,
    TorchConv,
    TorchDense,
    TorchSelfAttention,
    downsample,
    head,
    iterate_power,
    leaky_relu,
    minibatch_stddev,
    pixel_norm,
    upsample,
)


def feature_maps(resolution: int, fmap_base: int, fmap_max: int) -> int:
    """Channels at a resolution."""
    return max(min(2 * fmap_base // resolution, fmap_max), 1)


def blend(old: Tensor, new: Tensor, alpha: Tensor) -> Tensor:
    """old at alpha 0, new at alpha 1."""
    alpha = alpha.to(old.dtype)
    return (1 - alpha) * old + alpha * new


def fade_reals(images: Tensor, alpha: Tensor) -> Tensor:
    """Real images as a generator at `alpha` can show them."""
    return blend(upsample(downsample(images)), images, alpha)


class TorchProgressiveGenerator(nn.Module):
    """Latents to images, at one resolution above 4 of its growth."""

    def __init__(
        self,
        resolution: int,
        channels: int,
        latent_size: int,
        fmap_base: int,
        fmap_max: int,
        attention_resolution: int,
    ) -> None:
        super().__init__()
        self.resolutions = _doublings(resolution)
        widths = {size: feature_maps(size, fmap_base, fmap_max) for size in (4, *self.resolutions)}
        self.layers = nn.ModuleDict()
        self.layers['4x4_dense'] = TorchDense(
            latent_size, 16 * widths[4], 'equalized', gain=HE_GAIN / 4, bias=False
        )
        self.dense_bias = nn.Parameter(torch.zeros(widths[4]))
        self.layers['4x4_conv'] = TorchConv(widths[4], widths[4], 3, 'equalized')
        for size in self.resolutions:
            name = f'{size}x{size}'
            if size == attention_resolution:
                self.layers[f'{name}_attention'] = TorchSelfAttention(widths[size // 2])
            self.layers[f'{name}_conv0'] = TorchConv(widths[size // 2], widths[size], 3, 'equalized')
            self.layers[f'{name}_conv1'] = TorchConv(widths[size], widths[size], 3, 'equalized')
        for size in (resolution // 2, resolution):
            self.layers[f'{size}x{size}_to_image'] = TorchConv(widths[size], channels, 1, 'equalized', gain=1.0)

    def forward(self, latents: Tensor, alpha: Tensor) -> Tensor:
        x = self.layers['4x4_dense'](pixel_norm(latents)).unflatten(1, (-1, 4, 4))
        x = pixel_norm(leaky_relu(x + self.dense_bias.view(-1, 1, 1)))
        x = self._conv('4x4_conv', x)
        lower = x
        for size in self.resolutions:
            lower, name = x, f'{size}x{size}'
            if f'{name}_attention' in self.layers:
                x = self.layers[f'{name}_attention'](x)
            x = self._conv(f'{name}_conv1', self._conv(f'{name}_conv0', upsample(x)))
        last = self.resolutions[-1]
        old = upsample(self.layers[f'{last // 2}x{last // 2}_to_image'](lower).float())
        return blend(old, self.layers[f'{last}x{last}_to_image'](x).float(), alpha)

    def _conv(self, name: str, x: Tensor) -> Tensor:
        return pixel_norm(leaky_relu(self.layers[name](x)))

    def iterate_power(self) -> None:
        """One power iteration of all spectral layers."""
        iterate_power(self)


class TorchProgressiveDiscriminator(nn.Module):
    """Images to logits, the mirror of the generator."""

    def __init__(
        self,
        resolution: int,
        channels: int,
        fmap_base: int,
        fmap_max: int,
        scaling: str,
        stddev_group: int,
        attention_resolution: int,
    ) -> None:
        super().__init__()
        self.resolutions, self.stddev_group = _doublings(resolution)[::-1], stddev_group
        widths = {size: feature_maps(size, fmap_base, fmap_max) for size in (2, 4, *self.resolutions)}
        self.layers = nn.ModuleDict()
        for size in (resolution, resolution // 2):
            self.layers[f'{size}x{size}_from_image'] = TorchConv(channels, widths[size], 1, scaling)
        for size in self.resolutions:
            name = f'{size}x{size}'
            self.layers[f'{name}_conv0'] = TorchConv(widths[size], widths[size], 3, scaling)
            self.layers[f'{name}_conv1'] = TorchConv(widths[size], widths[size // 2], 3, scaling)
            if size == attention_resolution:
                self.layers[f'{name}_attention'] = TorchSelfAttention(widths[size // 2])
        self.layers['4x4_conv'] = TorchConv(widths[4] + 1, widths[4], 3, scaling)
        self.layers['4x4_dense'] = TorchDense(16 * widths[4], widths[2], scaling)
        self.layers['4x4_head'] = TorchDense(widths[2], 1, scaling, gain=1.0)

    def forward(self, images: Tensor, alpha: Tensor) -> Tensor:
        first, *others = self.resolutions
        x = self._block(first, self._conv(f'{first}x{first}_from_image', images))
        lower = self._conv(f'{first // 2}x{first // 2}_from_image', downsample(images))
        x = blend(lower, x, alpha)
        for size in others:
            x = self._block(size, x)
        x = self._conv('4x4_conv', minibatch_stddev(x, self.stddev_group))
        features = leaky_relu(self.layers['4x4_dense'](x.flatten(1)))
        return head(self.layers['4x4_head'], features)

    def _block(self, size: int, x: Tensor) -> Tensor:
        name = f'{size}x{size}'
        x = downsample(self._conv(f'{name}_conv1', self._conv(f'{name}_conv0', x)))
        return self.layers[f'{name}_attention'](x) if f'{name}_attention' in self.layers else x

    def _conv(self, name: str, x: Tensor) -> Tensor:
        return leaky_relu(self.layers[name](x))

    def iterate_power(self) -> None:
        """One power iteration of all spectral layers."""
        iterate_power(self)


def _doublings(resolution: int) -> list[int]:
    """8, 16, ... up to and with `resolution`."""
    return [8 << power for power in range((resolution // 8).bit_length())]
