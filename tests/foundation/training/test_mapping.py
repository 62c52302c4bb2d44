"""Mapping over rows: how many there are, how many go at a time and on how many devices changes nothing."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from foundation.training import parallel
from foundation.training.mapping import create_mapper

# Sums of whole numbers are exact, so that results are the same bits in whatever order they are added up.
ROWS = np.random.default_rng(0).integers(-50, 50, (37, 6)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).integers(-9, 9, (6, 3)).astype(np.float32)
NUMBERS = np.arange(37, dtype=np.int32)


def transform(weights, rows, numbers):
    """Two results, each of one row alone."""
    return {'product': rows @ weights + numbers[:, None], 'number': numbers}


def expected(count):
    return {'product': ROWS[:count] @ WEIGHTS + NUMBERS[:count, None], 'number': NUMBERS[:count]}


def check(counts, batch_sizes):
    """Compares with the same in NumPy."""
    for batch_size in batch_sizes:
        mapped = create_mapper(transform, parallel.create_mesh(), batch_size)
        for count in counts:
            results = mapped(WEIGHTS, ROWS[:count], NUMBERS[:count])
            assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(results))
            jax.tree.map(np.testing.assert_array_equal, results, expected(count))


def test_any_count_and_batch_size():
    check([1, 3, 4, 5, 8, 37], [4, 64])


def test_eight_devices():
    """Also fewer rows than devices, and batches that they cannot share."""
    program = """
import jax
from tests.foundation.training.test_mapping import check
assert jax.device_count() == 8
check([1, 7, 8, 9, 37], [3, 16])
print('checked')
"""
    flags = {'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run(
        [sys.executable, '-c', program],
        env={**os.environ, **flags, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == 'checked\n', done.stderr


def test_one_program_serves_all_counts_and_each_batch_has_real_rows_only():
    """Rows that fill up the last batch are real ones, so that no zero or NaN comes in; results drop them."""
    shapes, smallest = [], []

    def watched(variables, rows):
        shapes.append(rows.shape)
        jax.debug.callback(lambda least: smallest.append(float(least)), rows.min())
        return rows

    mapped = create_mapper(watched, parallel.create_mesh(), 4)
    for count in (1, 4, 6, 9):
        rows = np.arange(1, count + 1, dtype=np.float32)
        np.testing.assert_array_equal(mapped(None, rows), rows)
    jax.effects_barrier()
    assert shapes == [(4,)]
    assert min(smallest) == 1


def test_no_rows_are_refused():
    mapped = create_mapper(lambda variables, rows: rows, parallel.create_mesh(), 4)
    with pytest.raises(ValueError, match=r'one at least, not \[0\]'):
        mapped(None, np.zeros((0, 2), np.float32))
