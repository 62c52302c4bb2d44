"""`python -m benchmarks.coverage` simulates how often 95% intervals hold the truth, as a table.

Patients have some images each, that are alike; scores are Gaussian, shares of a patient beta distributed. Beside
the intervals in use stand percentiles of resampled patients. Then studies: arms are compared over patients and
seeds, each with a generator of its own; how often the interval holds the difference, and how often any of several
arms without an effect is claimed to have one.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float64

from foundation.statistics.differences import adjust_holm, hierarchical_bootstrap, judge
from foundation.statistics.proportions import auroc_interval, share_interval
from foundation.statistics.resampling import count_draws

_ALIKE = 0.5  # share of the variance of scores that is the patient's
_DRAWS = 1000  # of patients, for percentiles, and of seeds
_PATIENT, _CELL = 0.05, 0.08  # deviations of Dice by patient in an arm, and by patient in one training
_MARGIN = 0.01
Interval = tuple[float, float] | None
Simulated = tuple[Interval, Interval]  # as in use, and by percentiles


def simulate_auroc(generator: np.random.Generator, patients: int, images: int, area: float) -> Simulated:
    """So many patients of each class; the area is that of their images."""
    owners = np.repeat(np.arange(2 * patients), images)
    positive = owners < patients
    own = generator.normal(size=2 * patients)[owners]
    noise = _ALIKE**0.5 * own + (1 - _ALIKE) ** 0.5 * generator.normal(size=len(owners))
    scores = noise + np.sqrt(2) * scipy.stats.norm.ppf(area) * positive
    above = (scores[positive][:, None] > scores[~positive]).astype(float)
    by_patient = above.reshape(patients, images, patients, images).mean(axis=(1, 3))
    first, second = (count_draws(generator, _DRAWS, patients) / patients for _ in range(2))
    low, high = np.quantile(((first @ by_patient) * second).sum(axis=1), [0.025, 0.975])
    return auroc_interval(scores, positive, owners), (float(low), float(high))


def simulate_share(generator: np.random.Generator, patients: int, images: int, share: float) -> Simulated:
    """Patients differ in their share as a beta distribution of three pseudo-counts does."""
    own = generator.beta(3 * share, 3 * (1 - share), patients)
    right = generator.uniform(size=(patients, images)) < own[:, None]
    draws = count_draws(generator, _DRAWS, patients) @ right.mean(axis=1) / patients
    low, high = np.quantile(draws, [0.025, 0.975])
    return share_interval(right.ravel(), np.repeat(np.arange(patients), images)), (float(low), float(high))


def measure_coverage(
    simulate: Callable[..., Simulated], truths: Sequence[float], counts: Sequence[int], images: int, studies: int
) -> Iterator[tuple[int, float, float, float, float]]:
    """Patients, truth, how often the interval in use holds it and how wide it is on average, and percentiles do.

    Where there is no interval, as of an area of 1, the truth counts as held: nothing was claimed.
    """
    for patients in counts:
        for truth in truths:
            generator = np.random.default_rng([patients, round(1000 * truth)])
            found = [simulate(generator, patients, images, truth) for _ in range(studies)]
            ours, percentiles = zip(*found, strict=True)
            widths = [high - low for low, high in filter(None, ours)]
            yield patients, truth, _held(ours, truth), float(np.mean(widths)), _held(percentiles, truth)


def _held(intervals: Sequence[Interval], truth: float) -> float:
    return float(np.mean([each is None or each[0] <= truth <= each[1] for each in intervals]))


def simulate_arms(
    generator: np.random.Generator, seeds: int, patients: int, spread: float, arms: int
) -> Float64[np.ndarray, 'arm seed patient']:
    """Differences of arms without an effect to the one that they are all compared with.

    A training moves all patients by a deviation of `spread`, and a patient is moved in each training, as Dice is.
    """
    shape = arms + 1, seeds, patients
    trainings, cells = generator.normal(0, spread, (*shape[:2], 1)), generator.normal(0, _CELL, shape)
    dice = trainings + cells + generator.normal(0, _PATIENT, (arms + 1, 1, patients))
    return dice[1:] - dice[0]


def measure_studies(
    counts: Sequence[int], spreads: Sequence[float], patients: int, arms: int, studies: int
) -> Iterator[tuple[int, float, float, float, float]]:
    """Seeds, spread of trainings, how often intervals hold 0, their width, and how often anything is claimed."""
    for seeds in counts:
        for spread in spreads:
            generator = np.random.default_rng([seeds, round(1000 * spread)])
            held, widths, errors = [], [], 0
            for study in range(studies):
                differences = [
                    hierarchical_bootstrap(cells, resamples=_DRAWS, seed=study)
                    for cells in simulate_arms(generator, seeds, patients, spread, arms)
                ]
                found = [each.distribution for each in differences if each.distribution is not None]
                ends = [distribution.interval(0.95) for distribution in found]
                held += [low <= 0 <= high for low, high in ends]
                widths += [high - low for low, high in ends]
                adjusted = adjust_holm(np.array([distribution.p_value for distribution in found]))
                claims = [
                    judge(each, p, margin=_MARGIN, alpha=0.05)
                    for each, p in zip(differences, adjusted, strict=True)
                ]
                errors += any(claim.significant for claim in claims)
            yield seeds, spread, float(np.mean(held)), float(np.mean(widths)), errors / studies


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--studies', type=int, default=1000, help='simulated for each row')
    parser.add_argument('--images', type=int, default=4, help='of each patient')
    flags = parser.parse_args()
    print('| score | patients | truth | holds it | mean width | percentiles hold it |')
    print('| --- | --- | --- | --- | --- | --- |')
    for name, simulate, truths in (
        ('AUROC', simulate_auroc, (0.8, 0.9, 0.97, 0.99)),
        ('share', simulate_share, (0.5, 0.8, 0.95, 0.99)),
    ):
        for row in measure_coverage(simulate, truths, (10, 15, 30, 100), flags.images, flags.studies):
            patients, truth, held, width, percentiles = row
            of = f'{patients} + {patients}' if name == 'AUROC' else patients
            print(f'| {name} | {of} | {truth:g} | {held:.3f} | {width:.3f} | {percentiles:.3f} |', flush=True)
    print('\n| seeds | spread of trainings | holds it | mean width | any of four arms is claimed |')
    print('| --- | --- | --- | --- | --- |')
    for seeds, spread, held, width, claimed in measure_studies(
        (3, 5, 6, 10), (0.0, 0.01, 0.03, 0.08), 60, 4, flags.studies
    ):
        print(f'| {seeds} | {spread:g} | {held:.3f} | {width:.3f} | {claimed:.3f} |', flush=True)


if __name__ == '__main__':
    main()
