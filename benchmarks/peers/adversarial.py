"""Adversarial training in PyTorch: what one cycle of `gan.step` does, in the same order and with the same numbers.

Our step also leaves out updates that are not finite and measures gradient norms; this one need not.
"""

import copy
import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from benchmarks.peers.forms import Form
from benchmarks.peers.networks.progressive import fade_reals


@dataclasses.dataclass(frozen=True)
class TorchAdversarialTraining:
    """What the networks are trained for.

    Attributes:
      loss: wasserstein, hinge or non_saturating.
      penalty_weight: of WGAN-GP's penalty (Gulrajani et al. 2017, equation 3); 0 without.
      drift_weight: of E[D(real)^2].
      latent_distribution: normal or uniform.
      learning_rates: of the generator and of the discriminator.
      betas, eps: Adam's.
      decay: of the generator's running mean, a step.
    """

    loss: str
    penalty_weight: float
    drift_weight: float
    latent_distribution: str
    latent_size: int
    learning_rates: tuple[float, float]
    betas: tuple[float, float]
    eps: float
    decay: float


class AdversarialCycle:
    """Two networks and their optimisers.

    Args:
      generator, discriminator: called with latents or images, and alpha.
      training: what they are trained for.
      form: how they are run.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, training: TorchAdversarialTraining, form: Form
    ) -> None:
        self.generator, self.discriminator = form.place(generator), form.place(discriminator)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        self.training = training
        rates = dict(zip((self.generator, self.discriminator), training.learning_rates, strict=True))
        self._optimizers = [
            torch.optim.Adam(network.parameters(), rate, training.betas, training.eps, fused=True)
            for network, rate in rates.items()
        ]
        self._average = get_ema_multi_avg_fn(training.decay)
        self._normalised = any(isinstance(module, nn.BatchNorm2d) for module in self.generator.modules())
        self._draw, self._judge, self._persuade, self._follow = map(
            form.build, (self.generator, self.discriminator_loss, self.generator_loss, self.averaged)
        )
        self._device = form.device
        self._alpha = torch.ones((), device=form.device)

    def draw_latents(self, count: int) -> Tensor:
        """So many latents."""
        size = self.training.latent_size
        if self.training.latent_distribution == 'uniform':
            return torch.rand(count, size, device=self._device) * 2 - 1
        return torch.randn(count, size, device=self._device)

    def run(self, reals: list[Tensor]) -> None:
        """An update of the discriminator for each batch, then one of the generator."""
        for real in reals:
            count = len(real)
            mix = torch.rand(count, 1, 1, 1, device=self._device)
            self.update_discriminator(real, self.draw_latents(count), mix)
        self.update_generator(self.draw_latents(count))
        if self._normalised:
            self.follow_statistics(self.draw_latents(count))

    def update_discriminator(self, real: Tensor, latents: Tensor, mix: Tensor) -> Tensor:
        """One update; returns the loss. `mix` lays the penalty's points between fake (1) and real (0)."""
        self.generator.iterate_power()
        self.discriminator.iterate_power()
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            fake = self._draw(latents, self._alpha)
        return _update(self._optimizers[1], self._judge, real, fake, mix)

    def update_generator(self, latents: Tensor) -> Tensor:
        """One update of the generator and of its running mean; returns the loss."""
        self.discriminator.requires_grad_(False)
        loss = _update(self._optimizers[0], self._persuade, latents)
        with torch.no_grad():
            self._average(list(self.averaged.parameters()), list(self.generator.parameters()), None)
        return loss

    @torch.no_grad()
    def follow_statistics(self, latents: Tensor) -> None:
        """A pass of the averaged generator, whose batch statistics are its own."""
        self._follow(latents, self._alpha)

    def discriminator_loss(self, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
        """Adversarial loss, drift and penalty."""
        training, alpha = self.training, self._alpha
        real = fade_reals(real, alpha)
        real_logits, fake_logits = self.discriminator(real, alpha), self.discriminator(fake, alpha)
        loss = DISCRIMINATOR_LOSSES[training.loss](real_logits, fake_logits)
        loss = loss + training.drift_weight * real_logits.square().mean()
        if training.penalty_weight:
            loss = loss + training.penalty_weight * self._penalty(real + mix * (fake - real))
        return loss

    def _penalty(self, points: Tensor) -> Tensor:
        gradients = torch.func.grad(lambda images: self.discriminator(images, self._alpha).sum())(points)
        squared = gradients.float().square().sum(dim=(1, 2, 3))
        return (torch.sqrt(squared + 1e-12) - 1).square().mean()

    def generator_loss(self, latents: Tensor) -> Tensor:
        """Adversarial loss."""
        fake_logits = self.discriminator(self.generator(latents, self._alpha), self._alpha)
        return GENERATOR_LOSSES[self.training.loss](fake_logits)


def _update(optimizer: torch.optim.Optimizer, loss: Callable[..., Tensor], *batch: Tensor) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    value = loss(*batch)
    value.backward()
    optimizer.step()
    return value.detach()


def wasserstein_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Arjovsky et al. 2017, arXiv:1701.07875."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_generator(fake_logits: Tensor) -> Tensor:
    """Also the generator's side of the hinge loss."""
    return -fake_logits.mean()


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Lim and Ye 2017, arXiv:1705.02894."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def non_saturating_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Goodfellow et al. 2014, equation 1."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def non_saturating_generator(fake_logits: Tensor) -> Tensor:
    """Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake_logits).mean()


DISCRIMINATOR_LOSSES = {
    'wasserstein': wasserstein_discriminator,
    'hinge': hinge_discriminator,
    'non_saturating': non_saturating_discriminator,
}
GENERATOR_LOSSES = {
    'wasserstein': wasserstein_generator,
    'hinge': wasserstein_generator,
    'non_saturating': non_saturating_generator,
}
