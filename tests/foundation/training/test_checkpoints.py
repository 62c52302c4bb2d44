"""Checkpoints: what was saved is what comes back, or it is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training import parallel
from foundation.training.checkpoints import Checkpoints, Position
from foundation.training.errors import UserError
from tests.foundation.training import toy

# Reading a damaged array fails in one of the library's threads while others still wait; what they say is lost,
# also during the next test.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


def _state(value: int):
    return {'weights': jnp.full(4096, value, jnp.bfloat16), 'updates': jnp.int32(value)}


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, of steps 1 and 2."""
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2):
        checkpoints.save(_state(step), Position(step, 8 * step, 'wide'))
    checkpoints.wait()
    checkpoints.close()
    return tmp_path


def _restore(folder, step=None):
    checkpoints = Checkpoints(folder, keep=None)
    sharding = parallel.replicated(toy.mesh())
    try:
        return checkpoints.restore(lambda position: parallel.abstract(_state(0), sharding), step)
    finally:
        checkpoints.close()


def _flip_a_bit(folder, step: int) -> None:
    """In the middle of every data file of a step."""
    for file in (folder / f'{step:09d}' / 'state').rglob('d/*'):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 16
        file.write_bytes(content)


@pytest.mark.parametrize('step', [1, 2, None])
def test_what_was_saved_comes_back(folder, step):
    state, position = _restore(folder, step)
    assert position == Position(step or 2, 8 * (step or 2), 'wide')
    np.testing.assert_array_equal(state['weights'], _state(step or 2)['weights'])


def test_a_flipped_bit_is_noticed(folder, caplog):
    _flip_a_bit(folder, 2)
    state, position = _restore(folder)
    assert position.step == 1
    np.testing.assert_array_equal(state['weights'], _state(1)['weights'])
    assert 'Checkpoint of step 2 cannot be read' in caplog.text


def test_flipped_bits_everywhere_are_an_error(folder):
    _flip_a_bit(folder, 1)
    _flip_a_bit(folder, 2)
    with pytest.raises(UserError, match=r'No checkpoint in .* can be read'):
        _restore(folder)


def test_a_folder_without_checkpoints_gives_none(tmp_path):
    (tmp_path / 'checkpoints').mkdir()
    assert _restore(tmp_path / 'checkpoints') is None


def test_a_step_that_was_not_saved_is_named_with_those_that_were(folder):
    with pytest.raises(UserError, match=r'no checkpoint of step 3, only of \[1, 2\]'):
        _restore(folder, 3)
