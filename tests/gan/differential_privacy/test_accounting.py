"""Epsilon against a closed form, and against an accountant of our own that shares no code with the first."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from foundation.training.errors import UserError
from gan.differential_privacy.accounting import SampledSteps, compute_epsilon, find_noise


@pytest.mark.parametrize(('noise', 'count'), [(2.0, 1), (8.0, 20), (30.0, 400), (0.6, 100), (0.2, 100)])
def test_without_sampling_it_is_that_of_the_gaussian_mechanism(noise, count):
    """Balle and Wang 2018 (arXiv:1805.06530), theorem 8."""
    mu, delta = math.sqrt(count) / noise, 1e-5

    def excess(epsilon: float) -> float:
        tail = stats.norm.logcdf(-epsilon / mu - mu / 2)
        return stats.norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon + tail) - delta

    exact = optimize.brentq(excess, 0, 3000)
    found = compute_epsilon([SampledSteps(1.0, count)], noise, delta)
    assert exact - 1e-6 <= found <= (1.01 if exact < 1000 else 2) * exact


def test_of_next_to_no_noise_a_bound_is_told_in_bounded_memory():
    found = compute_epsilon([SampledSteps(0.1, 50)], 1e-3, 1e-5)
    assert 1e6 < found < math.inf


def _count_again(probability: float, count: int, noise: float, delta: float) -> float:
    """Epsilon by Fourier transforms of the privacy loss, in both directions."""
    points = np.linspace(-14 * noise, 14 * noise + 1, 400_001)
    absent = stats.norm.pdf(points, 0, noise)
    present = (1 - probability) * absent + probability * stats.norm.pdf(points, 1, noise)
    loss = np.log1p(probability * np.expm1((2 * points - 1) / (2 * noise**2)))
    return max(
        _compose(loss, present * (points[1] - points[0]), count, delta),
        _compose(-loss, absent * (points[1] - points[0]), count, delta),
    )


def _compose(loss: np.ndarray, mass: np.ndarray, count: int, delta: float) -> float:
    size, reach = 2**18, 60.0
    step = 2 * reach / size
    places = (loss + reach) / step
    low = np.floor(places).astype(int)
    share = places - low
    density = np.bincount(low, mass * (1 - share), size) + np.bincount(low + 1, mass * share, size)
    centred = np.roll(density, -size // 2)  # a loss of 0 comes first, as the transform has it
    total = np.fft.irfft(np.fft.rfft(centred) ** count, size)
    losses = np.fft.fftfreq(size, 1 / size) * step

    def excess(epsilon: float) -> float:
        above = losses > epsilon
        return float((total[above] * -np.expm1(epsilon - losses[above])).sum()) - delta

    return optimize.brentq(excess, 0, reach - 1)


@pytest.mark.parametrize(
    ('probability', 'count', 'noise', 'delta'),
    [(0.01, 1000, 0.7, 1e-5), (0.02, 500, 1.0, 1e-5), (0.1, 200, 2.0, 1e-4), (0.3, 50, 3.0, 1e-6)],
)
def test_with_sampling_it_is_what_another_accountant_finds(probability, count, noise, delta):
    exact = _count_again(probability, count, noise, delta)
    assert compute_epsilon([SampledSteps(probability, count)], noise, delta) == pytest.approx(exact, rel=0.01)


def test_stages_add_up():
    parts = [SampledSteps(0.02, 100), SampledSteps(0.01, 50), SampledSteps(0.02, 200)]
    whole = [SampledSteps(0.02, 300), SampledSteps(0.01, 50)]
    assert compute_epsilon(parts, 1.0, 1e-5) == pytest.approx(compute_epsilon(whole, 1.0, 1e-5), rel=1e-3)
    assert compute_epsilon(parts, 1.0, 1e-5) > compute_epsilon(parts[:2], 1.0, 1e-5)


def test_without_steps_nothing_is_spent_and_without_noise_everything():
    assert compute_epsilon([SampledSteps(0.02, 0)], 1.0, 1e-5) == 0
    assert compute_epsilon([SampledSteps(0.02, 1)], 0.0, 1e-5) == math.inf


@pytest.mark.parametrize('epsilon', [0.5, 3.0, 40.0])
def test_the_noise_that_is_found_is_enough_and_not_much_more(epsilon):
    steps = [SampledSteps(0.02, 300)]
    noise = find_noise(steps, epsilon, 1e-5)
    assert compute_epsilon(steps, noise, 1e-5) <= epsilon < compute_epsilon(steps, 0.995 * noise, 1e-5)


def test_a_budget_that_no_noise_can_keep_is_refused():
    with pytest.raises(UserError, match=r'config\.privacy\.epsilon is 1e-06, which needs noise of more than 2000'):
        find_noise([SampledSteps(0.5, 10_000)], 1e-6, 1e-5)
