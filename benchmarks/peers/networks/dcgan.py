"""DCGAN (Radford et al. 2016, arXiv:1511.06434) in PyTorch.

`Conv2d(..., stride=2, padding=2)` lays its 5x5 kernels one pixel before where the paper's own code (and ours) lays
them, `ConvTranspose2d` too. On mirrored images with mirrored kernels the numbers are the same; see `copying`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.networks.layers import head, leaky_relu

KERNEL = 5


class TorchDcganGenerator(nn.Module):
    """Latents to images: a dense layer to 4x4, then a transposed convolution for each doubling."""

    def __init__(self, resolution: int, channels: int, latent_size: int, last_width: int, max_width: int) -> None:
        super().__init__()
        self.sizes = [8 << power for power in range((resolution // 8).bit_length())]
        widths = {size: min(last_width * resolution // size, max_width) for size in (4, *self.sizes)}
        self.layers = nn.ModuleDict()
        self.layers['4x4_dense'] = nn.Linear(latent_size, 16 * widths[4])
        self.layers['4x4_norm'] = nn.BatchNorm2d(widths[4], momentum=0.05)
        for size in self.sizes:
            self.layers[f'{size}x{size}_conv'] = nn.ConvTranspose2d(
                widths[size // 2], widths[size], KERNEL, stride=2, padding=2, output_padding=1
            )
            self.layers[f'{size}x{size}_norm'] = nn.BatchNorm2d(widths[size], momentum=0.05)
        self.layers['to_image'] = nn.Conv2d(widths[resolution], channels, KERNEL, padding=2)

    def forward(self, latents: Tensor, alpha: Tensor) -> Tensor:
        x = self.layers['4x4_dense'](latents).unflatten(1, (-1, 4, 4))
        x = F.relu(self.layers['4x4_norm'](x))
        for size in self.sizes:
            x = self.layers[f'{size}x{size}_conv'](x)
            x = F.relu(self.layers[f'{size}x{size}_norm'](x))
        return torch.tanh(self.layers['to_image'](x).float())

    def iterate_power(self) -> None:
        """There are no spectral layers."""


class TorchDcganDiscriminator(nn.Module):
    """Images to logits: convolutions with stride 2, then a dense layer on all that is left."""

    def __init__(self, resolution: int, channels: int, layers: int, first_width: int, max_width: int) -> None:
        super().__init__()
        self.layers, inputs = nn.ModuleDict(), channels
        self.depth, self.side = layers, resolution >> layers
        for layer in range(layers):
            width = min(first_width << layer, max_width)
            self.layers[f'conv{layer}'] = nn.Conv2d(inputs, width, KERNEL, stride=2, padding=2)
            if layer > 0:
                # Over the batch at hand; a discriminator is never evaluated.
                self.layers[f'norm{layer}'] = nn.BatchNorm2d(width, track_running_stats=False)
            inputs = width
        self.layers['head'] = nn.Linear(inputs * self.side**2, 1)

    def forward(self, images: Tensor, alpha: Tensor) -> Tensor:
        x = images
        for layer in range(self.depth):
            x = self.layers[f'conv{layer}'](x)
            x = leaky_relu(self.layers[f'norm{layer}'](x) if layer > 0 else x)
        return head(self.layers['head'], x.flatten(1))

    def iterate_power(self) -> None:
        """There are no spectral layers."""
