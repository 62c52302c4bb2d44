"""Layers of the adversarial networks in PyTorch: PGGAN's (Karras et al. 2018, arXiv:1710.10196), spectral
normalization (Miyato et al. 2018, arXiv:1802.05957) and self-attention (Zhang et al. 2019, arXiv:1805.08318).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HE_GAIN = math.sqrt(2)


class TorchConv(nn.Conv2d):
    """Convolution with stride 1 and zero padding, its weights `equalized`, `spectral` or `plain`."""

    u: Tensor  # of spectral layers

    def __init__(
        self, inputs: int, outputs: int, size: int, scaling: str, *, gain: float = HE_GAIN, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2, bias=bias)
        self.scaling, self.gain = scaling, gain
        _add_spectral_vector(self)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, _scaled_weight(self), self.bias)


class TorchDense(nn.Linear):
    """Fully connected layer, its weights as in `TorchConv`."""

    u: Tensor  # of spectral layers

    def __init__(
        self, inputs: int, outputs: int, scaling: str, *, gain: float = HE_GAIN, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.scaling, self.gain = scaling, gain
        _add_spectral_vector(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, _scaled_weight(self), self.bias)


def _add_spectral_vector(layer: TorchConv | TorchDense) -> None:
    if layer.scaling == 'spectral':
        layer.register_buffer('u', F.normalize(torch.randn(layer.weight.shape[0]), dim=0))


def _scaled_weight(layer: TorchConv | TorchDense) -> Tensor:
    weight = layer.weight
    if layer.scaling == 'equalized':
        return weight * (layer.gain / math.sqrt(weight[0].numel()))
    if layer.scaling == 'spectral':
        return weight / _largest_singular_value(weight, layer.u)
    return weight


def _matrix(weight: Tensor) -> Tensor:
    """Weights as (outputs, all else), a view where they lie with channels last."""
    return weight.permute(0, 2, 3, 1).flatten(1) if weight.ndim == 4 else weight


def _largest_singular_value(weight: Tensor, u: Tensor) -> Tensor:
    """u^T W v with v = W^T u / |W^T u|: its length, and so is its gradient, v being a constant."""
    with torch.autocast(weight.device.type, enabled=False):
        return torch.linalg.vector_norm(_matrix(weight).T @ u)


@torch.no_grad()
def iterate_power(network: nn.Module) -> None:
    """One step of each layer's vector towards its leading singular vector (arXiv:1802.05957, algorithm 1)."""
    for layer in network.modules():
        if isinstance(layer, TorchConv | TorchDense) and layer.scaling == 'spectral':
            matrix = _matrix(layer.weight)
            layer.u.copy_(F.normalize(matrix @ F.normalize(matrix.T @ layer.u, dim=0), dim=0))


def pixel_norm(x: Tensor) -> Tensor:
    """Scales every pixel's features to unit mean square (arXiv:1710.10196, section 4.2)."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + 1e-8)).to(x.dtype)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky rectifier with slope 0.2."""
    return F.leaky_relu(x, 0.2)


def upsample(x: Tensor) -> Tensor:
    """Doubles height and width by repeating pixels."""
    return F.interpolate(x, scale_factor=2, mode='nearest')


def downsample(x: Tensor) -> Tensor:
    """Halves height and width by 2x2 means."""
    return F.avg_pool2d(x, 2)


def minibatch_stddev(x: Tensor, group_size: int) -> Tensor:
    """Appends a map of the standard deviation within groups of the batch (arXiv:1710.10196, section 3)."""
    batch, _, height, width = x.shape
    group_size = min(group_size, batch)
    groups = x.float().unflatten(0, (batch // group_size, group_size))
    deviation = torch.sqrt(groups.var(dim=1, correction=0) + 1e-8).mean(dim=(1, 2, 3))
    statistic = deviation.repeat_interleave(group_size).view(-1, 1, 1, 1).expand(batch, 1, height, width)
    return torch.cat([x, statistic.to(x.dtype)], dim=1)


def head(layer: nn.Module, features: Tensor) -> Tensor:
    """Logits of a last layer, in float32 under autocast too."""
    with torch.autocast(features.device.type, enabled=False):
        return layer(features.float())[:, 0]


class TorchSelfAttention(nn.Module):
    """x + gamma o(attention over the pixels), keys and values from a map of half the size; no 1 / sqrt(depth)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        depth, value_depth = max(channels // 8, 1), max(channels // 2, 1)
        self.theta = TorchConv(channels, depth, 1, 'spectral', bias=False)
        self.phi = TorchConv(channels, depth, 1, 'spectral', bias=False)
        self.g = TorchConv(channels, value_depth, 1, 'spectral', bias=False)
        self.o = TorchConv(value_depth, channels, 1, 'spectral', bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        queries = _rows(self.theta(x))
        keys, values = (_rows(F.max_pool2d(project(x), 2)) for project in (self.phi, self.g))
        attended = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        maps = attended[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.gamma * self.o(maps)


def _rows(maps: Tensor) -> Tensor:
    """(batch, 1, pixel, channel)."""
    return maps.flatten(2).transpose(1, 2)[:, None]
