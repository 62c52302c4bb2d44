"""Scores from the class probabilities that a classifier gives to images.

p_i are the probabilities of a generated image, pG their mean and p* that of the reference. KL(p || q) =
sum p log(p / q), H(p) = -sum p log p, in nats.
"""

from collections.abc import Sequence

import numpy as np
import scipy.special
from jaxtyping import Float, Float64

from foundation.statistics.jackknife import (
    POSITIVE,
    FeatureSample,
    Missing,
    Score,
    Spread,
    create_estimate,
    find_faults,
    group_sums,
    leave_out,
)

MODE_SCORES = {
    'default': 'exp(E KL(p_i||pG) - KL(pG||p*))',
    'identity': 'exp(E KL(p_i||p*) - KL(pG||p*)), which is the Inception Score',
    'reversed': 'exp(E KL(p_i||pG) - KL(p*||pG))',
}
_TOLERANCE = 1e-3  # of the sum of probabilities that may come from a computation in bfloat16
Replicates = Float64[np.ndarray, ' replicate']
Means = Float64[np.ndarray, 'replicate class']


def absent_classes(
    probabilities: Float[np.ndarray, 'count class'],
    others: Float[np.ndarray, 'other class'],
    class_names: Sequence[str],
) -> tuple[str, ...]:
    """Names of the classes that are the most probable one of some of `others`, but of none of these images."""
    if not class_names:
        return ()
    absent = set(others.argmax(axis=1)) - set(probabilities.argmax(axis=1))
    return tuple(name for number, name in enumerate(class_names) if number in absent)


def inception_score(generated: FeatureSample) -> Score:
    """exp(E KL(p_i||pG)), 1 to the number of classes, higher is better (Salimans et al. 2016, arXiv:1606.03498).

    All images make one part; `inception_score_of_splits` is the form that is published, which is lower.

    Raises:
      ValueError: when the values are not probabilities.
    """
    if fault := find_faults(1, generated=generated):
        return fault
    negative_entropy, marginal = _means(generated)
    bounds = 1.0, float(marginal.shape[1])
    return create_estimate(np.exp(_information(negative_entropy, marginal)), bounds, generated=len(generated))


def inception_score_of_splits(
    probabilities: Float[np.ndarray, 'count class'], splits: int = 10
) -> Spread | Missing:
    """Mean and standard deviation of the Inception Score over consecutive parts, as published.

    Args:
      probabilities: in random order.
      splits: number of parts.
    """
    if not np.isfinite(probabilities).all():
        return Missing('has generated images that are not finite.')
    if len(probabilities) < splits:
        return Missing(f'needs at least {splits} generated images; there are {len(probabilities)}.')
    scores = []
    for part in np.array_split(probabilities.astype(np.float64), splits):
        marginal = part.mean(axis=0, keepdims=True)
        scores.append(np.exp(scipy.special.rel_entr(part, marginal).sum(axis=1).mean()))
    return Spread(float(np.mean(scores)), float(np.std(scores)), splits)


def mode_score(
    generated: FeatureSample, reference: FeatureSample, variant: str, class_names: Sequence[str]
) -> Score:
    """Mode Score, higher is better, in one of the variants of MODE_SCORES.

    The form with KL(p*||pG) is that of Che et al. 2016 (arXiv:1612.02136, section 4.1). In the form that is
    commonly written ('identity'), p* cancels; it is evaluated as written.

    Raises:
      ValueError: for an unknown variant, or when the values are not probabilities.
    """
    if variant not in MODE_SCORES:
        raise ValueError(f'There is no Mode Score {variant!r}; there are {", ".join(MODE_SCORES)}.')
    if fault := find_faults(1, generated=generated, reference=reference):
        return fault
    negative_entropy, marginal = _means(generated)
    target = _means(reference)[1]
    numerator, denominator = (target, marginal) if variant == 'reversed' else (marginal, target)
    if fault := _find_zero(numerator, denominator, variant == 'reversed', class_names):
        return fault
    divergence = scipy.special.rel_entr(numerator, denominator).sum(axis=1)
    about = target if variant == 'identity' else marginal
    information = negative_entropy - scipy.special.xlogy(marginal, about).sum(axis=1)
    values, bounds = np.exp(information - divergence), (0.0, float(marginal.shape[1]))
    return create_estimate(values, bounds, generated=len(generated), reference=len(reference))


def am_score(generated: FeatureSample, reference: FeatureSample, class_names: Sequence[str]) -> Score:
    """AM Score: KL(p*||pG) + E H(p_i), 0 or more, lower is better (Zhou et al. 2018, arXiv:1703.02000).

    Raises:
      ValueError: when the values are not probabilities.
    """
    if fault := find_faults(1, generated=generated, reference=reference):
        return fault
    negative_entropy, marginal = _means(generated)
    target = _means(reference)[1]
    if fault := _find_zero(target, marginal, True, class_names):
        return fault
    divergence = scipy.special.rel_entr(target, marginal).sum(axis=1)
    values = divergence - negative_entropy
    return create_estimate(values, POSITIVE, generated=len(generated), reference=len(reference))


def _means(sample: FeatureSample) -> tuple[Replicates, Means]:
    """E sum p log p and E p, of all images and without each group."""
    values = sample.values
    if (values < 0).any() or (np.abs(values.sum(axis=1, dtype=np.float64) - 1) > _TOLERANCE).any():
        raise ValueError('Class probabilities are 0 or more and add up to 1.')
    counts = leave_out(sample.sizes)
    sums = group_sums(sample, lambda rows: rows.sum(axis=0, dtype=np.float64))
    negative_entropies = group_sums(sample, lambda rows: -scipy.special.entr(rows.astype(np.float64)).sum())
    return leave_out(negative_entropies) / counts, leave_out(sums) / counts[:, None]


def _information(negative_entropy: Replicates, marginal: Means) -> Replicates:
    """E KL(p_i||pG)."""
    return negative_entropy + scipy.special.entr(marginal).sum(axis=1)


def _find_zero(
    numerator: Means, denominator: Means, generated: bool, class_names: Sequence[str]
) -> Missing | None:
    """Why KL(numerator || denominator) is infinite; `generated` tells whose the denominator is."""
    places = np.argwhere((numerator > 0) & (denominator == 0))
    if not len(places):
        return None
    replicate, label = places[0]
    group = '' if replicate == 0 else f' without group {replicate - 1}'
    name = 'generated' if generated else 'reference'
    return Missing(
        f'is infinite: class {class_names[label]!r} has probability 0 in all {name} images{group}, but not in the '
        f'{"reference" if generated else "generated"} ones.'
    )
