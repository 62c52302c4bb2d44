"""Anomaly scores: our PatchCore and PaDiM and anomalib's, on residual networks of 18 layers with random weights.

Both fit on the same number of images of the same size: PatchCore keeps a tenth of the patches of the second and
third stage, PaDiM 100 features of the first three. Ours chooses patches by exact distances, anomalib by those of a
random projection.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Float32

from backbones.networks import ResNet
from benchmarks.peers.forms import Form
from benchmarks.peers.timing import PeerRun
from detect.anomaly.gaussian import Padim, fit_padim
from detect.anomaly.patchcore import Patchcore, fit_patchcore

FITTED = 16  # images that a score is fitted on before it is timed
_AT_A_TIME = 8
_RATIO = 0.1
_FEATURES = 100
Stages = tuple[Array, ...]
Extract = Callable[[Array], Stages]
Images = Float32[np.ndarray, 'batch resolution resolution 3']


def draw_images(resolution: int, count: int) -> Images:
    """Noise."""
    return np.random.default_rng(0).standard_normal((count, resolution, resolution, 3)).astype(np.float32)


def _create_extract(resolution: int, first: int) -> Extract:
    """The first three stages of the network, from the one with number `first` on."""
    network = ResNet(18, 64, False, 2, jnp.float32, num_stages=3)
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, resolution, resolution, 3)))
    extract = jax.jit(lambda variables, images: network.apply(variables, images, train=False).stages[first:])
    return lambda images: extract(variables, images)


def _describe(extract: Extract, images: Images) -> Iterator[Stages]:
    for start in range(0, len(images), _AT_A_TIME):
        yield extract(jnp.asarray(images[start : start + _AT_A_TIME]))


def _fit_patchcore(extract: Extract, images: Images) -> Patchcore:
    every = len(images) * (images.shape[1] // 8) ** 2  # patches, all of which are candidates
    return fit_patchcore(_describe(extract, images), candidates=every, ratio=_RATIO, most=every, seed=0)


def _fit_padim(extract: Extract, images: Images) -> Padim:
    return fit_padim(_describe(extract, images), channels=_FEATURES, seed=0)


# First stage that the score looks at, and how it is fitted.
_OURS: dict[str, tuple[int, Callable[[Extract, Images], Patchcore | Padim]]] = {
    'patchcore': (2, _fit_patchcore),
    'padim': (1, _fit_padim),
}


def create_ours_fit(name: str, resolution: int, batch: int, dtype: str) -> PeerRun:
    """Features of all images, and the fit."""
    first, fit = _OURS[name]
    extract, images = _create_extract(resolution, first), draw_images(resolution, batch)
    return PeerRun(lambda: _discard(fit(extract, images)), 'jit', 0)


def create_ours_score(name: str, resolution: int, batch: int, dtype: str) -> PeerRun:
    """Features of a batch, its scores and maps."""
    first, fit = _OURS[name]
    extract = _create_extract(resolution, first)
    fitted, images = fit(extract, draw_images(resolution, FITTED)), jnp.asarray(draw_images(resolution, batch))
    return PeerRun(lambda: _discard(fitted.score(extract(images), resolution, resolution)), 'jit', 0)


def fit_ours(name: str, resolution: int, count: int) -> Patchcore | Padim:
    """What `create_ours_fit` times."""
    first, fit = _OURS[name]
    return fit(_create_extract(resolution, first), draw_images(resolution, count))


def _discard(_: object) -> None:
    """Results are on the host already."""


def _create_anomalib(name: str) -> Any:
    # Here, so that other pairs need no anomalib, which warns of parts that it imports itself.
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from anomalib.models.image.padim.torch_model import PadimModel
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    if name == 'patchcore':
        return PatchcoreModel(['layer2', 'layer3'], backbone='resnet18', pre_trained=False)
    layers = ['layer1', 'layer2', 'layer3']
    return PadimModel(backbone='resnet18', layers=layers, pre_trained=False, n_features=_FEATURES)


def _fit_anomalib(name: str, model: Any, images: torch.Tensor) -> None:
    """As anomalib's trainer does, without its loop."""
    model.train()
    for batch in images.split(_AT_A_TIME):
        model(batch)
    if name == 'patchcore':
        # It shows a progress bar, and warns of an argument that it passes itself.
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            model.subsample_embedding(_RATIO)
    else:
        model.fit()


def fit_peer(name: str, resolution: int, count: int, form: Form) -> Any:
    """What `create_peer_fit` times."""
    model = form.place(_create_anomalib(name))
    _fit_anomalib(name, model, _place(resolution, count, form))
    return model


def create_peer_fit(name: str, resolution: int, batch: int, form: Form) -> PeerRun:
    """The same by anomalib."""
    model, images = form.place(_create_anomalib(name)), _place(resolution, batch, form)

    def run() -> None:
        _fit_anomalib(name, model, images)
        form.finish()

    return PeerRun(run, str(form), 0)


def create_peer_score(name: str, resolution: int, batch: int, form: Form) -> PeerRun:
    """The same by anomalib."""
    model, images = fit_peer(name, resolution, FITTED, form).eval(), _place(resolution, batch, form)

    def run() -> None:
        with torch.inference_mode():
            model(images)
        form.finish()

    return PeerRun(run, str(form), 0)


def _place(resolution: int, count: int, form: Form) -> torch.Tensor:
    return form.place(torch.from_numpy(draw_images(resolution, count).transpose(0, 3, 1, 2).copy()))
