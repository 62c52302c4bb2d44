"""Counts of modes on grounds whose modes are known."""

import jax
import numpy as np
import pytest

from benchmarks import modes


@pytest.fixture(scope='module')
def ring():
    return modes.create_ring()


def test_real_points_are_on_all_modes_evenly(ring):
    """Within three deviations of two coordinates lie 1 - exp(-9 / 2) of the points."""
    present, share, divergence = ring.measure(np.asarray(ring.draw(jax.random.key(0), 10_000)))
    assert present == 8
    np.testing.assert_allclose(share, 1 - np.exp(-4.5), atol=0.004)
    assert divergence < 0.002


def test_points_of_two_modes(ring):
    """Of equal shares of a quarter of the modes, the divergence is ln 4; what lies between counts on none."""
    real = np.asarray(ring.draw(jax.random.key(0), 10_000))
    named = ring.name_modes(real)
    chosen = np.concatenate(
        [real[named == 0][:500], real[named == 3][:500], np.zeros((1000, 2, 2, 2), np.float32)]
    )
    present, share, divergence = ring.measure(chosen)
    assert (present, share) == (2, 0.5)
    np.testing.assert_allclose(divergence, np.log(4), rtol=1e-6)


@pytest.mark.slow
def test_stacked_digits_have_a_thousand_modes():
    """Digits are nearly evenly frequent; of even ones, n draws would diverge by about 999 / 2n."""
    ground = modes.create_digits()
    present, share, divergence = ground.measure(np.asarray(ground.draw(jax.random.key(0), 26_000)))
    assert (present, share) == (1000, 1.0)
    assert divergence < 0.03


@pytest.mark.parametrize('name', modes.LOSSES)
def test_every_loss_can_be_configured(name, ring):
    recipe = modes.configure(ring, modes.LOSSES[name])
    assert recipe.objective.name == modes.LOSSES[name]['name']
