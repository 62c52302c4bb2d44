"""How far a detector can be pushed: by attacks that know it, and by what happens to images on their way."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Float32, Int32, PRNGKeyArray

from detect.attacks.gradient import apgd, pgd
from detect.attacks.robustness import Attack, attacked_logits, measure_robustness, worst_logits
from detect.attacks.smoothing import certify
from detect.attacks.square import square
from detect.attacks.threat import Threat, eps_of_grey_steps
from detect.data import read_batches
from detect.degradations import gaussian_blur, gaussian_noise, jpeg, resample
from detect.evaluation.changed import logits_after, on_device
from detect.evaluation.measured import Detector, Measured
from detect.metrics import decisions
from detect.metrics.ranking import auroc_of
from detect.metrics.samples import weigh_once
from detect.scoring import NETWORK

EPS = (1, 2, 4, 8)  # in 1/255 of the range of images
_WINDOW = 1500.0  # Hounsfield units, to say what eps means in a wide CT window
_BATCH = 25
_SIGMA, _SELECTION, _ALPHA = 0.25, 100, 0.001  # of smoothing, in units of images
# What happens to images, and how strongly.
_DEGRADATIONS: dict[str, tuple[Callable[..., Array], tuple[float, ...]]] = {
    'JPEG quality': (lambda images, strength: jpeg(images, strength.astype(jnp.int32)), (95, 75, 50)),
    'blur, pixels': (gaussian_blur, (0.5, 1.0, 2.0)),
    'noise': (lambda images, strength: gaussian_noise(images, strength, jax.random.key(0)), (0.02, 0.05, 0.1)),
    'resampling': (resample, (0.9, 0.75, 0.5)),
}


def logits_of(detector: Detector) -> Partial:
    """The network as attacks take it: weights are arguments, so that nothing is compiled twice."""
    return Partial(functools.partial(_apply, detector.trained.network), detector.trained.variables)


def _apply(network: Any, variables: Any, images: Array) -> Array:
    return network.apply(variables, images, train=False).logits


def attack_grid(detector: Detector, measured: Measured, *, images: int, steps: int, seed: int) -> dict[str, Any]:
    """Robust accuracy and AUROC of the network's logit by eps, the worst of PGD, APGD and Square counting.

    Images are rounded to grey levels as files store them. Accuracy is at the threshold that validation chose.

    Args:
      detector, measured: see there.
      images: of the test split, half of them real, half synthetic.
      steps: of the attacks that know the gradient; Square looks ten times as often.
      seed: of the choice of images, and of the attacks.
    """
    chosen, labels = _choose(detector, measured, images, seed)
    threshold = detector.calibration.thresholds[NETWORK].youden
    judge, key = _centred(detector, threshold), jax.random.key(seed)
    levels = 2**detector.calibration.form.depth
    clean = attacked_logits(judge, _leave, chosen, labels, key, batch=_BATCH)
    rows = []
    for count in (0, *EPS):
        threat = Threat(eps_of_grey_steps(count, 256), levels)
        found = [clean] + [
            attacked_logits(judge, attack, chosen, labels, key, batch=_BATCH)
            for attack in (_attacks(judge, threat, steps) if count else {}).values()
        ]
        worst = worst_logits(found, labels)
        robust = measure_robustness(clean, worst, labels, threshold=0.0)
        rows.append({'eps': count, 'hounsfield': count / 255 * _WINDOW, **vars(robust)})
    return {'images': len(labels), 'steps': steps, 'queries': 10 * steps, 'window': _WINDOW, 'rows': rows}


def _leave(images: Array, labels: Array, key: PRNGKeyArray) -> Array:
    return images


def _attacks(judge: Partial, threat: Threat, steps: int) -> dict[str, Attack]:
    return {
        'pgd': functools.partial(pgd, judge, threat=threat, objective='margin', steps=steps, restarts=1),
        'apgd': functools.partial(apgd, judge, threat=threat, objective='margin', steps=steps, restarts=1),
        'square': functools.partial(square, judge, threat=threat, queries=10 * steps),
    }


def _centred(detector: Detector, threshold: float) -> Partial:
    """The logit minus its threshold, so that its sign is what is said: what an attacker wants to turn."""
    return Partial(_minus, logits_of(detector), threshold)


def _minus(judge: Partial, threshold: Array, images: Array) -> Array:
    return judge(images) - threshold


def _choose(
    detector: Detector, measured: Measured, count: int, seed: int
) -> tuple[Float32[np.ndarray, 'image height width channel'], Int32[np.ndarray, ' image']]:
    """As many real as synthetic images, at random; one of each at least."""
    random, chosen = np.random.default_rng(seed), np.zeros(len(measured.labels), bool)
    for label in (0, 1):
        places = np.flatnonzero(measured.labels == label)
        chosen[random.choice(places, min(max(count // 2, 1), len(places)), replace=False)] = True
    kept = list(read_batches(measured.images, detector.trained.config.resolution, _BATCH, chosen))
    return np.concatenate(kept), measured.labels[chosen]


def degradation_grid(detector: Detector, measured: Measured) -> list[dict[str, Any]]:
    """AUROC and accuracies of the network's logit after what happens to all images alike."""
    labels, threshold = measured.labels, detector.calibration.thresholds[NETWORK].youden
    rows = [_row('as they are', None, measured.scored.scores[NETWORK], labels, threshold)]
    grid = [(name, change, strength) for name, (change, own) in _DEGRADATIONS.items() for strength in own]
    changes = {f'{name} {strength}': on_device(change, strength) for name, change, strength in grid}
    after = logits_after(detector, measured.images, changes)
    for name, _, strength in grid:
        rows.append(_row(name, strength, after[f'{name} {strength}'], labels, threshold))
    return rows


def _row(
    name: str,
    strength: float | None,
    logits: Float[np.ndarray, ' image'],
    labels: Int32[np.ndarray, ' image'],
    threshold: float,
) -> dict[str, Any]:
    made = decisions.decide(logits, labels, weigh_once(len(labels)), threshold=threshold)
    return {
        'degradation': name,
        'strength': strength,
        'auroc': auroc_of(logits, labels),
        'fake_accuracy': decisions.recall(made).item(),
        'real_accuracy': decisions.real_accuracy(made).item(),
    }


def certify_some(
    detector: Detector, measured: Measured, *, images: int, draws: int, seed: int
) -> dict[str, Any] | None:
    """What randomised smoothing guarantees of some images: the L2 radius within which the answer stays.

    Args:
      detector, measured: see there.
      images: of the test split; 0 certifies none.
      draws: noisy copies of each.
      seed: of the choice and of the noise.
    """
    if not images:
        return None
    chosen, labels = _choose(detector, measured, images, seed)
    threshold = detector.calibration.thresholds[NETWORK].youden
    radii, right, judge = [], 0, logits_of(detector)
    for number, image in enumerate(chosen):
        certificate = certify(
            judge, jnp.asarray(image), jax.random.key(seed + number), threshold=threshold, sigma=_SIGMA,
            selection=_SELECTION, draws=draws, alpha=_ALPHA, batch=100,
        )  # fmt: skip
        if certificate.fake is not None and certificate.fake == bool(labels[number]):
            right += 1
            radii.append(certificate.radius)
    return {
        'images': len(chosen),
        'sigma': _SIGMA,
        'draws': draws,
        'alpha': _ALPHA,
        'certified_right': right,
        'median_radius': float(np.median(radii)) if radii else None,
    }
