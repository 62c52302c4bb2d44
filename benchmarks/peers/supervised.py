"""Training a U-Net in PyTorch: the loss, optimiser and clipping of `segment.step`, and prediction."""

import dataclasses
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.forms import Form


@dataclasses.dataclass(frozen=True)
class TorchSupervisedTraining:
    """SGD with Nesterov's momentum.

    Attributes:
      learning_rate, momentum, weight_decay: of SGD.
      clip: largest norm of the gradient.
    """

    learning_rate: float
    momentum: float
    weight_decay: float
    clip: float

    def create_optimizer(self, parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        """In one kernel for all parameters."""
        return torch.optim.SGD(
            parameters,
            self.learning_rate,
            self.momentum,
            weight_decay=self.weight_decay,
            nesterov=True,
            fused=True,
        )


def segmentation_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Dice loss of the foreground plus cross-entropy, each image by itself, then their mean."""
    targets = F.one_hot(ids, logits.shape[1]).permute(0, 3, 1, 2).to(logits.dtype)
    probabilities = logits.softmax(dim=1)
    shared = (probabilities * targets).sum(dim=(2, 3))
    total = (probabilities.sum(dim=(2, 3)) + targets.sum(dim=(2, 3))) / 2
    dice = 1 - (shared + 1) / (total + 1)
    return dice[:, 1:].mean() + F.cross_entropy(logits, ids)


def supervise_deeply(logits: list[Tensor], ids: Tensor) -> Tensor:
    """The loss at each resolution, where each halving counts half, the weights adding up to 1."""
    losses = [
        0.5**level * segmentation_loss(own, ids[:, 2**level // 2 :: 2**level, 2**level // 2 :: 2**level])
        for level, own in enumerate(logits)
    ]
    return torch.stack(losses).sum() / sum(0.5**level for level in range(len(logits)))


class Trainer:
    """A network that learns to segment.

    Args:
      network: images to logits of each resolution, the highest first.
      training: how it learns.
      form: how it is run.
    """

    def __init__(
        self, network: Callable[[Tensor], list[Tensor]], training: TorchSupervisedTraining, form: Form
    ) -> None:
        self.network, self._clip = form.place(network).train(), training.clip
        self._optimizer = training.create_optimizer(self.network.parameters())
        self._loss = form.build(self.loss)

    def loss(self, images: Tensor, ids: Tensor) -> Tensor:
        """Of a batch."""
        return supervise_deeply(self.network(images), ids)

    def update(self, images: Tensor, ids: Tensor) -> Tensor:
        """One update; returns the loss."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(images, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
        self._optimizer.step()
        return loss.detach()
