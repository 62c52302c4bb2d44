"""Features of grey values without their places (IBSI, arXiv:1612.07003, sections 3.3 and 3.4)."""

import numpy as np
from jaxtyping import Float

from backbones.radiomics.texture import Features, entropy


def intensity_features(
    values: Float[np.ndarray, ' pixel'], shares: Float[np.ndarray, ' level'], shift: float, volume: float
) -> Features:
    """Of the pixels that are looked at.

    Args:
      values: of the pixels.
      shares: of the pixels that have each grey level.
      shift: added before squares are summed.
      volume: of a pixel, in cubic millimetres.
    """
    low, lower, median, upper, high = np.percentile(values, (10, 25, 50, 75, 90))
    mean = values.mean()
    centred = values - mean
    variance = (centred**2).mean()
    middle = values[(values >= low) & (values <= high)]
    energy = ((values + shift) ** 2).sum()
    return {
        '10Percentile': low,
        '90Percentile': high,
        'Energy': energy,
        'Entropy': entropy(shares),
        'InterquartileRange': upper - lower,
        'Kurtosis': (centred**4).mean() / variance**2 if variance else 0.0,  # 3 of a Gaussian
        'Maximum': values.max(),
        'MeanAbsoluteDeviation': np.abs(centred).mean(),
        'Mean': mean,
        'Median': median,
        'Minimum': values.min(),
        'Range': np.ptp(values),
        'RobustMeanAbsoluteDeviation': np.abs(middle - middle.mean()).mean(),
        'RootMeanSquared': np.sqrt(energy / len(values)),
        'Skewness': (centred**3).mean() / variance**1.5 if variance else 0.0,
        'TotalEnergy': volume * energy,
        'Uniformity': (shares**2).sum(),
        'Variance': variance,
    }
