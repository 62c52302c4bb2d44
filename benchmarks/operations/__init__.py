"""Operations of the kinds that this project is made of, at odd sizes, each with the answer of NumPy in float64.

A release of JAX that computes one of them wrongly is found by a test on every version that the tests run on, and
on a device by `benchmarks.accelerator`. References are written from the definition and share nothing with what
they check.
"""

from benchmarks.operations import images, vectors
from benchmarks.operations.comparison import Operation, error_of

__all__ = ['Operation', 'create_operations', 'error_of']


def create_operations() -> list[Operation]:
    """All of them; the same in every process."""
    return [*vectors.create_operations(), *images.create_operations()]
