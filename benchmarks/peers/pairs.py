"""Pairs of programs that do the same work: ours, and one of another framework.

    from benchmarks.peers.pairs import PAIRS
    from benchmarks.peers.timing import interleave

    pair = PAIRS['enhanced_gan']
    ours = pair.create_ours(resolution, batch, dtype)
    peer = pair.create_peer(resolution, batch, dtype, device)
    ours_seconds, peer_seconds = interleave(ours, peer, repeats)

`dtype` is 'float32' or 'bfloat16' (autocast in PyTorch), `device` 'cpu' or 'cuda'. Both are functions without
arguments that do a whole step, or a prediction, and return when it is computed; their data is in memory before.
Their `form` says how they are run, and `parameters` how large the networks are. On 'cuda' the peer has channels
last and is compiled; on 'cpu' the quickest of several forms is taken, which `create_peer` finds out by trying.

A step of a GAN is a whole cycle: all updates of the discriminator for one of the generator (five for SNGAN, each
with a batch of its own), the generator's update and its running mean.

For scores, `resolution` is the length of the feature vectors and `batch` their number; for a detector's fit,
`batch` is the number of images. Scores run on the CPU.

Where JAX and PyTorch share a GPU, set XLA_PYTHON_CLIENT_PREALLOCATE=false before this module is imported.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable

from benchmarks.peers import classifiers, detectors, gans, scores, segmenters
from benchmarks.peers.forms import Form, list_eager_forms, list_forms, list_one_form
from benchmarks.peers.gans import Gan
from benchmarks.peers.timing import PeerRun, measure

_TRIALS, _TRIAL_SECONDS = 3, 3.0
# Widths for two CPU cores, as in configs/gan/small.py and as the docstring of configs/gan/sngan.py advises.
_NARROW_GROWING = {
    f'{network}.fmap_{name}': features
    for network in ('generator', 'discriminator')
    for name, features in (('base', 512), ('max', 64))
} | {'generator.latent_size': 64}
_NARROW_RESIDUAL = {'generator.last_width': 16, 'discriminator.first_width': 16}


@dataclasses.dataclass(frozen=True)
class Pair:
    """The same work twice.

    Attributes:
      create_ours: `(resolution, batch, dtype) -> Run`.
      create_in_form: the peer's `(resolution, batch, form) -> Run`.
      list_forms: `(device, dtype) -> forms` of the peer worth trying.
    """

    create_ours: Callable[[int, int, str], PeerRun]
    create_in_form: Callable[[int, int, Form], PeerRun]
    list_forms: Callable[[str, str], tuple[Form, ...]]

    def create_peer(self, resolution: int, batch: int, dtype: str, device: str) -> PeerRun:
        """The peer in its quickest form, by the least of some runs."""
        return self.create_in_quickest_form(resolution, batch, self.list_forms(device, dtype))

    def create_in_quickest_form(self, resolution: int, batch: int, forms: Iterable[Form]) -> PeerRun:
        """The peer in the quickest of these forms."""
        return quickest(self.create_in_form(resolution, batch, form) for form in forms)


def quickest(runs: Iterable[PeerRun]) -> PeerRun:
    """The one that takes the least time; no more than two are in memory at once.

    Raises:
      ValueError: when there is none.
    """
    best, least = None, math.inf
    for run in runs:
        run()
        seconds = _least_seconds(run)
        if seconds < least:
            best, least = run, seconds
    if best is None:
        raise ValueError('There is nothing to choose from.')
    return best


def _least_seconds(run: PeerRun) -> float:
    """Of some trials, fewer of what takes long."""
    seconds = [measure(run)]
    while len(seconds) < _TRIALS and sum(seconds) < _TRIAL_SECONDS:
        seconds.append(measure(run))
    return min(seconds)


def _gan(config: str, changes: dict[str, int]) -> Pair:
    gan = Gan(config, changes)
    return Pair(functools.partial(gans.create_ours, gan), functools.partial(gans.create_peer, gan), list_forms)


def _unet_training(create: segmenters.Create) -> Pair:
    peer = functools.partial(segmenters.create_peer_training, create)
    return Pair(segmenters.create_ours_training, peer, list_forms)


def _unet_prediction(create: segmenters.Create) -> Pair:
    peer = functools.partial(segmenters.create_peer_prediction, create)
    return Pair(segmenters.create_ours_prediction, peer, list_forms)


def _resnet_prediction(depth: int) -> Pair:
    ours, peer = classifiers.create_ours_prediction, classifiers.create_peer_prediction
    return Pair(functools.partial(ours, depth), functools.partial(peer, depth), list_forms)


def _resnet_gradient(depth: int) -> Pair:
    ours, peer = classifiers.create_ours_gradient, classifiers.create_peer_gradient
    return Pair(functools.partial(ours, depth), functools.partial(peer, depth), list_forms)


def _detector_fit(name: str) -> Pair:
    ours, peer = detectors.create_ours_fit, detectors.create_peer_fit
    return Pair(functools.partial(ours, name), functools.partial(peer, name), list_eager_forms)


def _detector_score(name: str) -> Pair:
    ours, peer = detectors.create_ours_score, detectors.create_peer_score
    return Pair(functools.partial(ours, name), functools.partial(peer, name), list_eager_forms)


def _score(name: str) -> Pair:
    ours, peer = functools.partial(scores.create_ours, name), functools.partial(scores.create_peer, name)
    return Pair(ours, peer, list_one_form)


PAIRS: dict[str, Pair] = {
    'pggan': _gan('pggan', {}),
    'pggan_narrow': _gan('pggan', _NARROW_GROWING),
    'enhanced_gan': _gan('enhanced_gan', {}),
    'enhanced_gan_narrow': _gan('enhanced_gan', _NARROW_GROWING),
    'dcgan': _gan('dcgan', {}),
    'sngan': _gan('sngan', {}),
    'sngan_narrow': _gan('sngan', _NARROW_RESIDUAL),
    'unet_training': _unet_training(segmenters.create_unet),
    'unet_prediction': _unet_prediction(segmenters.create_unet),
    'monai_training': _unet_training(segmenters.create_dynunet),
    'monai_prediction': _unet_prediction(segmenters.create_dynunet),
    'resnet18_prediction': _resnet_prediction(18),
    'resnet18_gradient': _resnet_gradient(18),
    'resnet50_prediction': _resnet_prediction(50),
    'resnet50_gradient': _resnet_gradient(50),
    'patchcore_fit': _detector_fit('patchcore'),
    'patchcore_score': _detector_score('patchcore'),
    'padim_fit': _detector_fit('padim'),
    'padim_score': _detector_score('padim'),
    'frechet': _score('frechet'),
    'kernel': _score('kernel'),
    'shares_prdc': _score('shares_prdc'),
    'shares_torch_fidelity': _score('shares_torch_fidelity'),
}
