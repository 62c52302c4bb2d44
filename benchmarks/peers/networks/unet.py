"""The U-Net (Ronneberger et al. 2015, arXiv:1505.04597) in the form of nnU-Net (Isensee et al. 2021,
doi:10.1038/s41592-020-01008-z) in PyTorch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions of 3x3 pixels, each with instance normalization and a leaky rectifier."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.InstanceNorm2d(outputs, affine=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm1(self.conv1(x)), 0.01)
        return F.leaky_relu(self.norm2(self.conv2(x)), 0.01)


class TorchUNet(nn.Module):
    """Images to logits at full resolution, and for deep supervision at all lower ones but the two lowest.

    Height and width must be multiples of 2^depth.
    """

    def __init__(self, channels: int, num_classes: int, width: int, max_width: int, depth: int) -> None:
        super().__init__()
        widths = [min(width << level, max_width) for level in range(depth + 1)]
        self.depth = depth
        self.layers = nn.ModuleDict({'encoder0': Block(channels, widths[0])})
        for level in range(1, depth + 1):
            self.layers[f'down{level}'] = nn.Conv2d(widths[level - 1], widths[level], 2, stride=2, bias=False)
            self.layers[f'encoder{level}'] = Block(widths[level], widths[level])
        for level in reversed(range(depth)):
            self.layers[f'up{level}'] = nn.ConvTranspose2d(
                widths[level + 1], widths[level], 2, stride=2, bias=False
            )
            self.layers[f'decoder{level}'] = Block(2 * widths[level], widths[level])
            if level == 0 or level < depth - 1:
                self.layers[f'head{level}'] = nn.Conv2d(widths[level], num_classes, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits, those of the full resolution first; in evaluation these alone."""
        x = self.layers['encoder0'](images)
        skips = [x]
        for level in range(1, self.depth + 1):
            x = self.layers[f'encoder{level}'](self.layers[f'down{level}'](x))
            skips.append(x)
        logits = []
        for level in reversed(range(self.depth)):
            x = torch.cat([skips[level], self.layers[f'up{level}'](x)], dim=1)
            x = self.layers[f'decoder{level}'](x)
            if f'head{level}' in self.layers and (level == 0 or self.training):
                logits.append(self._head(level, x))
        return logits[::-1]

    def _head(self, level: int, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.layers[f'head{level}'](x.float())
