"""Features of texture, from what `matrices` counts, by IBSI's chapter 3; names are as pyradiomics writes them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from backbones.radiomics.matrices import Extents

_TINY = np.spacing(1)  # within logarithms, as in pyradiomics
Features = dict[str, float]


def pair_features(pairs: Int[np.ndarray, 'level level'], grey: Float[np.ndarray, ' level'], span: int) -> Features:
    """Of a symmetric matrix of co-occurrence (section 3.6); NaN where no pair is.

    Args:
      pairs: see `matrices.count_pairs`.
      grey: levels, whole numbers from 1.
      span: the number of levels by which differences are normalised.
    """
    total = pairs.sum()
    share = pairs / total if total else np.full(pairs.shape, np.nan)
    levels = grey.astype(np.int64)
    marginal = share.sum(axis=0)
    mean = marginal @ grey
    centred = grey - mean
    variance = marginal @ centred**2
    sums = _by_value(levels[:, None] + levels, share)
    differences = _by_value(np.abs(levels[:, None] - levels), share)
    apart, together = np.arange(len(differences)), np.arange(len(sums)) - 2 * mean
    average = differences @ apart
    return {
        'Autocorrelation': grey @ share @ grey,
        'JointAverage': mean,
        'ClusterProminence': sums @ together**4,
        'ClusterShade': sums @ together**3,
        'ClusterTendency': sums @ together**2,
        'Contrast': differences @ apart**2,
        'Correlation': centred @ share @ centred / variance if variance else 1.0,
        'DifferenceAverage': average,
        'DifferenceEntropy': entropy(differences),
        'DifferenceVariance': differences @ (apart - average) ** 2,
        'JointEnergy': (share**2).sum(),
        'JointEntropy': entropy(share),
        **_information(share, marginal),
        'Idm': differences @ (1 / (1 + apart**2)),
        'Idmn': differences @ (1 / (1 + (apart / span) ** 2)),
        'Id': differences @ (1 / (1 + apart)),
        'Idn': differences @ (1 / (1 + apart / span)),
        'InverseVariance': differences[1:] @ (1 / apart[1:] ** 2),
        'MaximumProbability': share.max(),
        'SumEntropy': entropy(sums),
        'SumSquares': variance,
    }


def _information(share: np.ndarray, marginal: np.ndarray) -> Features:
    """Both measures of information correlation (sections 3.6.24 and 3.6.25)."""
    independent = np.outer(marginal, marginal)
    logarithm = np.log2(independent + _TINY)
    joint, largest = entropy(share), entropy(marginal)
    first = (joint + (share * logarithm).sum()) / largest if largest else 0.0
    gain = -(independent * logarithm).sum() - joint
    return {'Imc1': first, 'Imc2': np.sqrt(1 - np.exp(-2 * max(gain, 0.0)))}


@dataclasses.dataclass(frozen=True)
class ExtentNames:
    """How runs or zones are called in the names of features."""

    one: str
    size: str
    long: str
    short: str


RUNS = ExtentNames('Run', 'RunLength', 'LongRun', 'ShortRun')
ZONES = ExtentNames('Zone', 'SizeZone', 'LargeArea', 'SmallArea')


def extent_features(
    extents: Extents, grey: Float[np.ndarray, ' level'], pixels: int, names: ExtentNames
) -> Features:
    """Of runs (section 3.7) or zones (section 3.8).

    Args:
      extents: runs of one direction, or of several together; or zones.
      grey: levels, from 1.
      pixels: that were looked at, once for each direction.
      names: RUNS or ZONES.
    """
    size, level = extents.sizes.astype(np.float64), grey[extents.levels]
    count, one, long, short = len(size), names.one, names.long, names.short
    of_levels, of_sizes = ((np.bincount(each).astype(np.float64) ** 2).sum() for each in extents)
    _, of_both = np.unique(extents.levels * (extents.sizes.max() + 1) + extents.sizes, return_counts=True)
    return {
        'GrayLevelNonUniformity': of_levels / count,
        'GrayLevelNonUniformityNormalized': of_levels / count**2,
        'GrayLevelVariance': level.var(),
        f'HighGrayLevel{one}Emphasis': (level**2).mean(),
        f'{long}Emphasis': (size**2).mean(),
        f'{long}HighGrayLevelEmphasis': (size**2 * level**2).mean(),
        f'{long}LowGrayLevelEmphasis': (size**2 / level**2).mean(),
        f'LowGrayLevel{one}Emphasis': (1 / level**2).mean(),
        f'{one}Entropy': entropy(of_both / count),
        f'{names.size}NonUniformity': of_sizes / count,
        f'{names.size}NonUniformityNormalized': of_sizes / count**2,
        f'{one}Percentage': count / pixels,
        f'{one}Variance': size.var(),
        f'{short}Emphasis': (1 / size**2).mean(),
        f'{short}HighGrayLevelEmphasis': (level**2 / size**2).mean(),
        f'{short}LowGrayLevelEmphasis': (1 / (size**2 * level**2)).mean(),
    }


def neighbourhood_features(
    differences: Float[np.ndarray, ' level'],
    numbers: Float[np.ndarray, ' level'],
    grey: Float[np.ndarray, ' level'],
) -> Features:
    """Of differences to neighbourhoods (section 3.10).

    Args:
      differences, numbers: see `matrices.sum_differences`.
      grey: levels, from 1.
    """
    there = numbers > 0
    differences, numbers, grey = differences[there], numbers[there], grey[there]
    total, count = numbers.sum(), len(numbers)
    share = numbers / total
    apart = grey[:, None] - grey
    coarse = share @ differences
    spread = np.abs(np.subtract.outer(grey * share, grey * share)).sum()
    both = share[:, None] + share
    weighted = share * differences
    contrast = (np.outer(share, share) * apart**2).sum() / (count * (count - 1)) if count > 1 else 0.0
    return {
        'Busyness': coarse / spread if spread else 0.0,
        'Coarseness': 1 / coarse if coarse else 1e6,
        'Complexity': (np.abs(apart) * (weighted[:, None] + weighted) / both).sum() / total,
        'Contrast': contrast * differences.sum() / total,
        'Strength': (both * apart**2).sum() / differences.sum() if coarse else 0.0,
    }


def mean_features(each: Sequence[Features]) -> Features:
    """The mean over directions; of those that are numbers."""
    return {name: float(np.nanmean([features[name] for features in each])) for name in each[0]}


def _by_value(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    return np.bincount(values.ravel(), share.ravel())


def entropy(shares: np.ndarray) -> float:
    """In bits."""
    return float(-(shares * np.log2(shares + _TINY)).sum())
