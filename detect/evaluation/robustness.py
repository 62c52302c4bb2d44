"""How far a detector can be pushed: by attacks that know it, by what happens to images on their way, and by noise.

Certificates are by randomised smoothing (Cohen et al. 2019, arXiv:1902.02918): no attack within a radius succeeds.
What is certified is the smoothed detector, which answers by the majority over Gaussian noise, and should have been
trained with such noise. The radius is Euclidean, in units of the images, over all values of an image together.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.tree_util import Partial
from jaxtyping import Array, Float, Float32, Int, Int32, PRNGKeyArray

from detect.attacks.evasion import apgd, pgd, square
from detect.attacks.threat import Images, LogitsOf, Threat, as_argument, eps_of_grey_steps, find_logits
from detect.attacks.threat import Labels as DeviceLabels
from detect.data import read_batches
from detect.degradations import gaussian_blur, gaussian_noise, jpeg, resample
from detect.detector import TrainedDetector
from detect.evaluation.outputs import SplitOutputs
from detect.evaluation.perturbations import by_tile, logits_after, on_device
from detect.metrics import decisions
from detect.metrics.ranking import auroc_of
from detect.metrics.samples import Labels, weigh_once
from detect.scoring import NETWORK

Attack = Callable[[Images, DeviceLabels, PRNGKeyArray], Images]
Logits = Float[np.ndarray, ' image']
Image = Float[Array, 'height width channel']
Scalar = Float[Array, '']


def attacked_logits(
    logits_of: LogitsOf,
    attack: Attack,
    images: Float[np.ndarray, 'image height width channel'],
    labels: Labels,
    key: PRNGKeyArray,
    *,
    batch: int,
) -> Logits:
    """The logits after an attack, a batch at a time; the last one is filled up, so that nothing is compiled twice.

    Args:
      logits_of: see `detect.attacks.threat`.
      attack: such as `pgd` with all but its images, labels and key given.
      images: in [-1, 1].
      labels: 1 for fake.
      key: of the attack; each batch has its own.
      batch: images at a time.
    """
    found = []
    for start in range(0, len(images), batch):
        rows = np.minimum(np.arange(start, start + batch), len(images) - 1)
        chosen = jnp.asarray(images[rows])
        attacked = attack(chosen, jnp.asarray(labels[rows]), jax.random.fold_in(key, start))
        found.append(np.asarray(find_logits(logits_of, attacked)))
    return np.concatenate(found)[: len(images)]


def worst_logits(logits: Sequence[Logits], labels: Labels) -> Logits:
    """Of each image, over the attacks: a fake's smallest logit, a real image's largest."""
    return np.where(labels.astype(bool), np.min(logits, axis=0), np.max(logits, axis=0))


def attack_one_class(clean: Logits, worst: Logits, labels: Labels, *, fakes: bool) -> Logits:
    """Logits where only fakes are attacked, to look real, or only real images, to look fake."""
    return np.where(labels.astype(bool) == fakes, worst, clean)


@dataclasses.dataclass(frozen=True)
class Robustness:
    """Scores from the worst logits, 0 to 1; NaN for a class without images. See `score_table` for intervals.

    Attributes:
      accuracy: share of all images that are called rightly however attacked.
      fake_accuracy: share of the fakes that stay fake when they are attacked to look real.
      real_accuracy: share of the real images that stay real when they are attacked to look fake.
      auroc: when both are attacked.
      auroc_fake_to_real, auroc_real_to_fake: when only fakes, or only real images, are attacked.
    """

    accuracy: float
    fake_accuracy: float
    real_accuracy: float
    auroc: float
    auroc_fake_to_real: float
    auroc_real_to_fake: float


def measure_robustness(clean: Logits, worst: Logits, labels: Labels, *, threshold: float) -> Robustness:
    """Robust accuracy and AUROC, by direction of the attack.

    Args:
      clean: logits without an attack.
      worst: logits over all attacks, from `worst_logits`.
      labels: 1 for fake.
      threshold: logits no less than it mean fake; from validation.
    """
    made = decisions.decide(worst, labels, weigh_once(len(labels)), threshold=threshold)
    fakes, reals = (attack_one_class(clean, worst, labels, fakes=chosen) for chosen in (True, False))
    return Robustness(
        accuracy=decisions.accuracy(made).item(),
        fake_accuracy=decisions.recall(made).item(),
        real_accuracy=decisions.real_accuracy(made).item(),
        auroc=auroc_of(worst, labels),
        auroc_fake_to_real=auroc_of(fakes, labels),
        auroc_real_to_fake=auroc_of(reals, labels),
    )


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


def logits_of(detector: TrainedDetector) -> Partial:
    """The network as attacks take it: weights are arguments, so that nothing is compiled twice."""
    return Partial(functools.partial(_apply, detector.network), detector.variables)


def _apply(network: Any, variables: Any, images: Array) -> Array:
    return network.apply(variables, images, train=False).logits


def attack_grid(
    detector: TrainedDetector, measured: SplitOutputs, *, images: int, steps: int, seed: int
) -> dict[str, Any]:
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


def _centred(detector: TrainedDetector, threshold: float) -> Partial:
    """The logit minus its threshold, so that its sign is what is said: what an attacker wants to turn."""
    return Partial(_minus, logits_of(detector), threshold)


def _minus(judge: Partial, threshold: Array, images: Array) -> Array:
    return judge(images) - threshold


def _choose(
    detector: TrainedDetector, measured: SplitOutputs, count: int, seed: int
) -> tuple[Float32[np.ndarray, 'image height width channel'], Int32[np.ndarray, ' image']]:
    """As many real as synthetic images, at random; one of each at least."""
    random, chosen = np.random.default_rng(seed), np.zeros(len(measured.labels), bool)
    for label in (0, 1):
        places = np.flatnonzero(measured.labels == label)
        chosen[random.choice(places, min(max(count // 2, 1), len(places)), replace=False)] = True
    kept = list(read_batches(measured.images, detector.recipe.resolution, _BATCH, chosen))
    return np.concatenate(kept), measured.labels[chosen]


def degradation_grid(detector: TrainedDetector, measured: SplitOutputs) -> list[dict[str, Any]]:
    """AUROC and accuracies of the network's logit after what happens to all images alike."""
    labels, threshold = measured.labels, detector.calibration.thresholds[NETWORK].youden
    rows = [_row('as they are', None, measured.scored.scores[NETWORK], labels, threshold)]
    grid = [(name, change, strength) for name, (change, own) in _DEGRADATIONS.items() for strength in own]
    changes = {
        f'{name} {strength}': by_tile(detector, on_device(change, strength)) for name, change, strength in grid
    }
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
    detector: TrainedDetector, measured: SplitOutputs, *, images: int, draws: int, seed: int
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


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What the smoothed detector says of an image.

    Attributes:
      fake: its answer; None where it abstains.
      radius: within which the answer stays the same, with confidence 1 - alpha; 0 where it abstains.
    """

    fake: bool | None
    radius: float


def certify(
    logits_of: LogitsOf,
    image: Image,
    key: PRNGKeyArray,
    *,
    threshold: float,
    sigma: float,
    selection: int,
    draws: int,
    alpha: float,
    batch: int,
) -> Certificate:
    """`CERTIFY` of the paper for two classes.

    Args:
      logits_of: see `detect.attacks.threat`; it gets images with noise, which leave [-1, 1].
      image: in [-1, 1].
      key: decides the noise.
      threshold: logits no less than it mean fake.
      sigma: standard deviation of the noise, in units of the image.
      selection: noisy images that decide which answer is to be certified (n0; 100 in the paper).
      draws: further noisy images that certify it (n; 100,000 in the paper).
      alpha: probability of a wrong certificate (0.001 in the paper).
      batch: noisy images at a time.
    """
    choosing, certifying = jax.random.split(key)
    first = _count_fakes(logits_of, image, choosing, threshold, sigma, selection, batch)
    fake = 2 * first > selection
    fakes = _count_fakes(logits_of, image, certifying, threshold, sigma, draws, batch)
    probability = lower_bound(fakes if fake else draws - fakes, draws, alpha)
    if probability <= 0.5:
        return Certificate(None, 0.0)
    return Certificate(fake, float(sigma * scipy.special.ndtri(probability)))


def lower_bound(successes: int, draws: int, alpha: float) -> float:
    """Clopper and Pearson's one-sided lower bound of a probability, with confidence 1 - alpha."""
    return float(scipy.special.betaincinv(successes, draws - successes + 1, alpha)) if successes else 0.0


def _count_fakes(
    logits_of: LogitsOf, image: Image, key: PRNGKeyArray, threshold: float, sigma: float, draws: int, batch: int
) -> int:
    """How many of so many noisy images are called fake."""
    detector = as_argument(logits_of)
    counts = [
        _count_batch(detector, image, jax.random.fold_in(key, done), threshold, sigma, draws - done, batch)
        for done in range(0, draws, batch)
    ]
    return sum(map(int, counts))


@functools.partial(jax.jit, static_argnames='batch')
def _count_batch(
    logits_of: Partial,
    image: Image,
    key: PRNGKeyArray,
    threshold: Scalar | float,
    sigma: Scalar | float,
    wanted: Int[Array, ''] | int,
    batch: int,
) -> Int[Array, '']:
    """How many are called fake of a whole batch, or of the part of it that is wanted."""
    noisy = image + sigma * jax.random.normal(key, (batch, *image.shape))
    return ((logits_of(noisy) >= threshold) & (jnp.arange(batch) < wanted)).sum()
