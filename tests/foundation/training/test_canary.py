"""A JAX that computes wrong numbers is refused, by its name and by what it computes."""

import re
import tomllib
from pathlib import Path

import jax
import jaxlib
import numpy as np
import pytest

from foundation.training import canary
from foundation.training.errors import UserError

_ROOT = Path(__file__).parents[3]


def test_this_jax_computes_correctly():
    canary.check_arithmetic()


@pytest.mark.parametrize('module', [jax, jaxlib])
def test_a_known_faulty_version_is_refused_before_it_computes(monkeypatch, module):
    monkeypatch.setattr(module, '__version__', '0.11.1')
    monkeypatch.setattr(canary, '_comparisons', lambda: pytest.fail('It computed, and may hang.'))
    with pytest.raises(UserError, match=r'0\.11\.1.* computes wrong numbers\. Install another version of JAX'):
        canary.check_arithmetic()


def test_a_wrong_row_among_many_is_found(monkeypatch):
    """The fault of 0.10.2: the sum of the last row is 0.8% off."""
    squares = canary._squares
    monkeypatch.setattr(canary, '_squares', lambda matrix, rows: squares(matrix, rows).at[-1].multiply(0.992))
    with pytest.raises(UserError, match='computes a sum of squares of many rows wrongly'):
        canary.check_arithmetic()


def test_the_short_products_of_gpus_are_no_fault(monkeypatch):
    """Their default, 11 bits in products of float32, is up to 1e-3 off; it must not be what is compared."""
    lowered, original = [], canary._squares

    def squares(matrix, rows):
        lowered.append(original.lower(matrix, rows).as_text())
        return original(matrix, rows)

    monkeypatch.setattr(canary, '_squares', squares)
    canary.check_arithmetic()
    (text,) = lowered
    assert 'HIGHEST' in text
    assert 'DEFAULT' not in text


@pytest.mark.parametrize('wrong', [0.0, np.nan])
def test_a_wrong_result_of_a_single_operation_is_found(monkeypatch, wrong):
    """The fault of 0.11.0 and 0.11.1 on GPUs."""
    monkeypatch.setattr(canary.jnp, 'sqrt', lambda x: jax.numpy.full_like(x, wrong))
    with pytest.raises(UserError, match='computes a square root wrongly'):
        canary.check_arithmetic()


def test_the_faulty_versions_are_those_that_cannot_be_installed():
    dependencies = tomllib.loads((_ROOT / 'pyproject.toml').read_text())['project']['dependencies']
    (of_jax,) = [line for line in dependencies if re.match(r'jax[<>=!]', line)]
    assert tuple(re.findall(r'!=([0-9.]+)', of_jax)) == canary.FAULTY_VERSIONS


def test_the_locked_versions_are_not_faulty():
    locked = re.findall(r'^jax(?:lib)?==([0-9.]+)', (_ROOT / 'constraints.txt').read_text(), re.MULTILINE)
    assert len(locked) == 4
    assert not set(locked) & set(canary.FAULTY_VERSIONS)
