"""From scores to calibrated odds: a temperature for one logit, several scores stacked into one, the prevalence."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Float, Float64

from detect.metrics.samples import Labels, Scores
from detect.metrics.thresholds import check_fit
from foundation.statistics.calibration import fit_temperature
from foundation.training.errors import UserError

Table = Float[np.ndarray, 'image score']
_EXACT: dict[str, Any] = {'gtol': 1e-10, 'ftol': 1e-15, 'maxiter': 1000}


def fit_logit_temperature(logits: Scores, labels: Labels, *, split: str) -> float:
    """The temperature T with the lowest log loss of p(fake) = sigmoid(logit / T), see `fit_temperature`.

    Raises:
      ValueError: for another split than 'validation', and for bad logits or labels.
      UserError: without real or without fake images.
    """
    check_fit('A temperature', logits, labels, split=split)
    return fit_temperature(np.stack([np.zeros_like(logits), logits], axis=1), labels.astype(np.int64))


def probability_of_fake(logits: Scores, temperature: float) -> Float64[np.ndarray, ' image']:
    """p(fake), 0 to 1, where fakes are as frequent as in validation."""
    return scipy.special.expit(np.asarray(logits, np.float64) / temperature)


def log_odds_at_prevalence(
    log_odds: Float64[np.ndarray, ' image'], *, prevalence: float, fitted_prevalence: float
) -> Float64[np.ndarray, ' image']:
    """Log odds of fake where fakes are more or less frequent than in validation (Bayes; Saerens et al. 2002).

    p'/(1-p') = p/(1-p) (pi/(1-pi)) / (pi0/(1-pi0)): the exponential are odds, the sigmoid is the probability.

    Args:
      log_odds: calibrated; logit / temperature.
      prevalence: pi, share of fakes where the detector is used, between 0 and 1.
      fitted_prevalence: pi0, share of fakes in validation.

    Raises:
      UserError: for a prevalence that is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise UserError(
            f'A prevalence of {prevalence} is not between 0 and 1: state the share of fakes that you expect.'
        )
    return log_odds + scipy.special.logit(prevalence) - scipy.special.logit(fitted_prevalence)


@dataclasses.dataclass(frozen=True)
class Stacking:
    """A logistic regression of standardised scores.

    Attributes:
      names: of the scores.
      means, deviations: of the scores in validation.
      weights: of the standardised scores.
      bias: what is added.
      fitted_prevalence: share of fakes in validation.

    Raises:
      ValueError: where these do not fit together or are not finite.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    fitted_prevalence: float

    def __post_init__(self) -> None:
        rows = (self.means, self.deviations, self.weights)
        if not self.names or {len(row) for row in rows} != {len(self.names)}:
            raise ValueError('A stacking has a mean, a deviation and a weight for each of its scores.')
        numbers = [*self.means, *self.deviations, *self.weights, self.bias, self.fitted_prevalence]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError('The numbers of a stacking are finite.')
        if min(self.deviations) <= 0 or not 0 < self.fitted_prevalence < 1:
            raise ValueError('Deviations are positive, and the share of fakes lies between 0 and 1.')

    def log_odds(self, scores: Mapping[str, Scores]) -> Float64[np.ndarray, ' image']:
        """Calibrated log odds of fake, at the share of fakes in validation.

        Raises:
          ValueError: for other scores than those it was fitted on.
        """
        if set(scores) != set(self.names):
            raise ValueError(f'A stacking of {", ".join(self.names)} does not go with {", ".join(scores)}.')
        table = np.stack([np.asarray(scores[name], np.float64) for name in self.names], axis=1)
        return (table - self.means) / self.deviations @ np.array(self.weights) + self.bias

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> 'Stacking':
        """What `to_dict` gave.

        Raises:
          ValueError: for anything else.
        """
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f'This is no stored stacking: {error}.') from error


def fit_stacking(scores: Mapping[str, Scores], labels: Labels, *, split: str, penalty: float) -> Stacking:
    """The weights and bias with the lowest mean log loss plus penalty / 2 times the sum of squared weights.

    Args:
      scores: of the same images, by name; logits, anomaly scores.
      labels: 1 = fake.
      split: where the scores come from.
      penalty: above 0, so that weights are finite where scores part fakes from reals without an error.

    Raises:
      ValueError: for another split than 'validation', no penalty, and bad scores or labels.
      UserError: without real or without fake images.
    """
    if not scores or penalty <= 0:
        raise ValueError('A stacking needs a score or more and a penalty above 0.')
    for name, score in scores.items():
        check_fit(f'A stacking of {name}', score, labels, split=split)
    table = np.stack([np.asarray(score, np.float64) for score in scores.values()], axis=1)
    means, deviations = table.mean(axis=0), table.std(axis=0)
    deviations[np.ptp(table, axis=0) == 0] = 1.0  # a constant gets no weight
    weights, bias = _fit_logistic((table - means) / deviations, labels.astype(np.float64), penalty)
    return Stacking(
        names=tuple(scores),
        means=tuple(means.tolist()),
        deviations=tuple(deviations.tolist()),
        weights=tuple(weights.tolist()),
        bias=bias,
        fitted_prevalence=float(labels.mean()),
    )


def _fit_logistic(
    table: Table, labels: Float64[np.ndarray, ' image'], penalty: float
) -> tuple[Float64[np.ndarray, ' score'], float]:
    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        logits = table @ weights + bias
        value = (np.logaddexp(0, logits) - labels * logits).mean() + penalty / 2 * weights @ weights
        residual = (scipy.special.expit(logits) - labels) / len(labels)
        return float(value), np.append(residual @ table + penalty * weights, residual.sum())

    start = np.zeros(table.shape[1] + 1)
    found = scipy.optimize.minimize(loss, start, jac=True, method='L-BFGS-B', options=_EXACT).x
    return found[:-1], float(found[-1])
