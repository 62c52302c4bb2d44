"""Checkpoints that were made when a state was arranged otherwise are still read."""

import contextlib

import jax
import numpy as np
import pytest

from foundation.training import checkpoints, parallel
from foundation.training.checkpoints import Checkpoints, Position
from foundation.training.errors import UserError
from tests.gan import nets

_POSITION = Position(3, 24, '8x8')


@pytest.fixture(scope='module')
def state():
    return jax.device_get(nets.create_start(nets.create_recipe('residual'), jax.random.key(0)))


def _save(folder, state):
    with contextlib.closing(Checkpoints(folder, keep=1)) as saved:
        saved.save(state, _POSITION)
        saved.wait()


def _restore(folder, state):
    sharding = parallel.replicated(parallel.create_mesh())
    with contextlib.closing(Checkpoints(folder, keep=None)) as saved:
        return saved.restore(lambda _: parallel.abstract(state, sharding))


@pytest.mark.parametrize('version', [1, 2, 3])
def test_a_state_of_either_format_comes_back_as_it_was(tmp_path, monkeypatch, state, version):
    monkeypatch.setattr(checkpoints, 'FORMAT', version)
    _save(tmp_path, state.to_former() if version == 1 else state)
    monkeypatch.undo()
    restored, position = _restore(tmp_path, state)
    assert position == _POSITION
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for own, other in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_format_of_a_later_version_is_told(tmp_path, monkeypatch, state):
    monkeypatch.setattr(checkpoints, 'FORMAT', 4)
    _save(tmp_path, state)
    monkeypatch.undo()
    with pytest.raises(UserError, match='it has format 4, of a later version; this one reads up to 3'):
        _restore(tmp_path, state)
