"""What a detector still gets right when each image has been attacked in several ways and the worst counts."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from detect.attacks.threat import Images, LogitsOf, find_logits
from detect.attacks.threat import Labels as DeviceLabels
from detect.metrics import decisions
from detect.metrics.ranking import auroc_of
from detect.metrics.samples import Labels, weigh_once

Attack = Callable[[Images, DeviceLabels, PRNGKeyArray], Images]
Logits = Float[np.ndarray, ' image']


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
