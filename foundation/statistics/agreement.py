"""How far two series of answers agree beyond what chance alone would make them."""

import numpy as np
from jaxtyping import Float64, Int

from foundation.statistics.jackknife import Estimate, Missing, Score

_BOUNDS = (-1.0, 1.0)


def cohen_kappa(first: Int[np.ndarray, ' case'], second: Int[np.ndarray, ' case'], categories: int) -> Score:
    """Cohen's kappa (1960), with the jackknife that leaves out one case at a time.

    Args:
      first, second: categories of the same cases, from 0.
      categories: how many there are.

    Returns:
      The estimate; Missing for fewer than three cases, and where it hangs on a single case whether it is defined:
      it is not where both give one and the same answer throughout.
    """
    if len(first) < 3:
        return Missing(f'needs three cases that both answered; there are {len(first)}.')
    table = np.zeros((categories, categories))
    np.add.at(table, (first, second), 1)
    places = np.argwhere(table > 0)
    left = np.repeat(table[None], len(places), axis=0)
    left[np.arange(len(places)), *places.T] -= 1
    values = _kappas(np.concatenate([table[None], left]))
    if not np.isfinite(values).all():
        return Missing('is not defined where all answers, or all but one, are the same.')
    counts = table[tuple(places.T)].astype(int)
    return Estimate(float(values[0]), np.repeat(values[1:], counts), {'cases': len(first)}, _BOUNDS)


def _kappas(tables: Float64[np.ndarray, 'table row column']) -> Float64[np.ndarray, ' table']:
    """(observed - expected) / (1 - expected) of each; NaN where that is 0 / 0."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    observed = np.trace(shares, axis1=1, axis2=2)
    expected = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    with np.errstate(invalid='ignore', divide='ignore'):
        return (observed - expected) / (1 - expected)
