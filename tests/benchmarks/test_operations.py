"""This version of JAX computes what NumPy computes, operation by operation."""

import numpy as np
import pytest

from benchmarks.operations import Operation, create_operations, error_of

_OPERATIONS = create_operations()


@pytest.mark.parametrize('operation', _OPERATIONS, ids=[operation.name for operation in _OPERATIONS])
def test_operation_is_that_of_numpy_in_float64(operation):
    assert error_of(operation) < operation.tolerance


def test_there_are_hundreds_of_them_with_names_of_their_own():
    assert len(_OPERATIONS) > 300
    assert len({operation.name for operation in _OPERATIONS}) == len(_OPERATIONS)


@pytest.mark.parametrize('wrong', [lambda x: x.at[-1].multiply(1.001), lambda x: x[:-1], lambda x: x * np.nan])
def test_a_wrong_number_or_shape_is_found(wrong):
    numbers = np.arange(1, 9, dtype=np.float32)
    operation = Operation('identity', wrong, lambda x: x, (numbers,))
    assert error_of(operation) > operation.tolerance
