"""`python -m benchmarks.readers` simulates how often intervals of a reader study hold the truth, as a table.

Each case gives all readers the same hint, and each reader sees it through noise of the own; readers may differ in
skill. 95% intervals of the mean accuracy, for these readers with other cases, and for other readers and cases.
"""

import argparse

import numpy as np
import scipy.stats

from foundation.statistics import readers as means

_SHARED, _OWN = 0.5, 1.0  # variance of a case's hint, and of a reader's noise


def simulate_study(
    generator: np.random.Generator, readers: int, cases: int, accuracy: float, spread: float
) -> tuple[means.ReaderMean, float]:
    """What a study finds, and the accuracy of its readers with cases without end.

    Args:
      generator: advanced by the draws.
      readers: how many.
      cases: half of them generated.
      accuracy: of readers without end, with cases without end.
      spread: standard deviation of skill, in that of the noise of a reader.
    """
    kinds = np.repeat([-1.0, 1.0], cases // 2)
    signal = scipy.stats.norm.ppf(accuracy) * np.sqrt(_SHARED + _OWN + spread**2)
    skill = signal + spread * generator.normal(size=(readers, 1))
    hint = generator.normal(size=cases) * np.sqrt(_SHARED)
    right = (skill * kinds + hint + generator.normal(size=(readers, cases)) * np.sqrt(_OWN)) * kinds > 0
    known = float(scipy.stats.norm.cdf(skill / np.sqrt(_SHARED + _OWN)).mean())
    return means.average_share(right, kinds.astype(int)), known


def measure_coverage(
    readers: int, cases: int, accuracy: float, spread: float, studies: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """How often the truth is held, and the mean width: for these readers, and for others."""
    generator = np.random.default_rng([readers, cases, round(1000 * accuracy), round(1000 * spread)])
    held, widths = np.zeros(2), np.zeros(2)
    for _ in range(studies):
        mean, known = simulate_study(generator, readers, cases, accuracy, spread)
        for place, (uncertainty, truth) in enumerate(((mean.of_cases, known), (mean.of_both, accuracy))):
            low, high = means.share_ends(mean, uncertainty or mean.of_cases, 0.025)
            held[place] += low <= truth <= high
            widths[place] += high - low
    found = [(float(share), float(width)) for share, width in zip(held / studies, widths / studies, strict=True)]
    return found[0], found[1]


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--studies', type=int, default=1000, help='simulated for each row')
    parser.add_argument('--cases', type=int, default=214, help='of each study')
    flags = parser.parse_args()
    print('| readers | accuracy | spread | these: holds it | width | others: holds it | width |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for readers in (2, 3, 5, 10):
        for accuracy, spread in ((0.5, 0.0), (0.7, 0.0), (0.5, 0.3), (0.7, 0.3), (0.95, 0.3)):
            these, others = measure_coverage(readers, flags.cases, accuracy, spread, flags.studies)
            cells = ' | '.join(f'{held:.3f} | {width:.2f}' for held, width in (these, others))
            print(f'| {readers} | {accuracy:g} | {spread:g} | {cells} |', flush=True)


if __name__ == '__main__':
    main()
