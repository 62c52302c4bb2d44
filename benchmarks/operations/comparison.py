"""One operation in JAX, and the same in NumPy."""

import dataclasses
import math
from collections.abc import Callable

import jax
import numpy as np

Compute = Callable[..., jax.Array]
Reference = Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True)
class Operation:
    """Something to compute, and to compare.

    Attributes:
      name: unique.
      compute: jitted by `error_of`, on float32.
      reference: the same with NumPy, on float64.
      arguments: of both, in float32; whole numbers as they are.
      tolerance: largest difference, as a share of the largest absolute value of the reference.
    """

    name: str
    compute: Compute
    reference: Reference
    arguments: tuple[np.ndarray, ...]
    tolerance: float = 1e-5


def error_of(operation: Operation) -> float:
    """The largest difference to NumPy, as a share of the largest value; infinite where shapes or NaNs differ."""
    with jax.default_matmul_precision('highest'):
        computed = np.asarray(jax.jit(operation.compute)(*operation.arguments))
    wide = [a.astype(np.float64) if a.dtype == np.float32 else a for a in operation.arguments]
    expected = np.asarray(operation.reference(*wide))
    if computed.shape != expected.shape or not np.isfinite(computed).all():
        return math.inf
    largest = np.abs(expected).max() or 1.0
    return float(np.abs(computed.astype(np.float64) - expected).max() / largest)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers in float32, the same for the same shape and seed."""
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)
