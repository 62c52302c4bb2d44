"""The residual networks of SNGAN (Miyato et al. 2018, arXiv:1802.05957, table 4) in PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.networks.layers import TorchConv, TorchDense, downsample, head, iterate_power, upsample


class TorchResidualGenerator(nn.Module):
    """Latents to images: a dense layer to 4x4, then a residual block for each doubling."""

    def __init__(self, resolution: int, channels: int, latent_size: int, last_width: int, max_width: int) -> None:
        super().__init__()
        self.sizes = [8 << power for power in range((resolution // 8).bit_length())]
        widths = {size: min(last_width * resolution // size, max_width) for size in (4, *self.sizes)}
        self.layers = nn.ModuleDict()
        self.layers['4x4_dense'] = TorchDense(latent_size, 16 * widths[4], 'plain')
        for size in self.sizes:
            name, before, width = f'{size}x{size}', widths[size // 2], widths[size]
            self.layers[f'{name}_norm0'] = nn.BatchNorm2d(before, momentum=0.05)
            self.layers[f'{name}_conv0'] = TorchConv(before, width, 3, 'plain')
            self.layers[f'{name}_norm1'] = nn.BatchNorm2d(width, momentum=0.05)
            self.layers[f'{name}_conv1'] = TorchConv(width, width, 3, 'plain')
            self.layers[f'{name}_shortcut'] = TorchConv(before, width, 1, 'plain')
        self.layers['last_norm'] = nn.BatchNorm2d(widths[resolution], momentum=0.05)
        self.layers['to_image'] = TorchConv(widths[resolution], channels, 3, 'plain')

    def forward(self, latents: Tensor, alpha: Tensor) -> Tensor:
        x = self.layers['4x4_dense'](latents).unflatten(1, (-1, 4, 4))
        for size in self.sizes:
            x = self._block(f'{size}x{size}', x)
        x = F.relu(self.layers['last_norm'](x))
        return torch.tanh(self.layers['to_image'](x).float())

    def _block(self, name: str, x: Tensor) -> Tensor:
        straight = upsample(F.relu(self.layers[f'{name}_norm0'](x)))
        straight = F.relu(self.layers[f'{name}_norm1'](self.layers[f'{name}_conv0'](straight)))
        # Before the doubling, which a 1x1 convolution does not feel, but for a quarter of the work.
        return upsample(self.layers[f'{name}_shortcut'](x)) + self.layers[f'{name}_conv1'](straight)

    def iterate_power(self) -> None:
        """There are no spectral layers."""


class TorchResidualDiscriminator(nn.Module):
    """Images to logits: a residual block for each halving down to 4x4, then features summed over the pixels."""

    def __init__(self, resolution: int, channels: int, first_width: int, max_width: int) -> None:
        super().__init__()
        self.sizes = [resolution >> power for power in range((resolution // 8).bit_length())]
        self.layers, before, width = nn.ModuleDict(), channels, first_width
        for size in self.sizes:
            name, features = f'{size}x{size}', min(width, max_width)
            self.layers[f'{name}_conv0'] = TorchConv(before, features, 3, 'spectral')
            self.layers[f'{name}_conv1'] = TorchConv(features, features, 3, 'spectral')
            self.layers[f'{name}_shortcut'] = TorchConv(before, features, 1, 'spectral')
            before, width = features, 2 * width
        self.layers['head'] = TorchDense(before, 1, 'spectral')

    def forward(self, images: Tensor, alpha: Tensor) -> Tensor:
        x = images
        for size in self.sizes:
            x = self._block(size, x)
        return head(self.layers['head'], F.relu(x).float().sum(dim=(2, 3)))

    def _block(self, size: int, x: Tensor) -> Tensor:
        name = f'{size}x{size}'
        # Pixels are not rectified before the first convolution.
        straight = self.layers[f'{name}_conv0'](x if size == self.sizes[0] else F.relu(x))
        straight = downsample(self.layers[f'{name}_conv1'](F.relu(straight)))
        return self.layers[f'{name}_shortcut'](downsample(x)) + straight

    def iterate_power(self) -> None:
        """One power iteration of all spectral layers."""
        iterate_power(self)
