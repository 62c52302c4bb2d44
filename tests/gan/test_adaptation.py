"""The adaptive probability, batch by batch, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from gan.adaptation import adapt, start

BATCH = 5


def _run(state, batches, **changes):
    """Probability after each batch; a batch of 5 every 4 moves it by 20 / 100."""
    probabilities = []
    for logits in batches:
        state = adapt(state, jnp.asarray(logits), **{'target': 0.6, 'every': 4, 'images': 100.0} | changes)
        probabilities.append(float(state.probability))
    return state, probabilities


def test_rises_every_fourth_batch_where_all_real_images_are_known_and_stops_at_1():
    _, probabilities = _run(start(0.5), [np.full(BATCH, 3.0)] * 13)
    np.testing.assert_allclose(probabilities, [0.5] * 3 + [0.7] * 4 + [0.9] * 4 + [1.0] * 2, atol=1e-6)


@pytest.mark.parametrize('logit', [-2.0, 0.0])
def test_falls_where_they_are_not_and_stops_at_0(logit):
    _, probabilities = _run(start(0.3), [np.full(BATCH, logit)] * 13)
    np.testing.assert_allclose(probabilities, [0.3] * 3 + [0.1] * 4 + [0.0] * 6, atol=1e-6)


@pytest.mark.parametrize(('positive', 'expected'), [(5, 0.7), (4, 0.3), (3, 0.3)])
def test_compares_the_mean_sign_with_the_target(positive, expected):
    """Four of five above 0 make a mean sign of 0.6, the target itself; the size of a logit does not matter."""
    logits = np.where(np.arange(BATCH) < positive, 100.0, -0.01)
    _, probabilities = _run(start(0.5), [logits] * 4)
    np.testing.assert_allclose(probabilities[-1], expected, atol=1e-6)


def test_all_batches_count_and_the_sum_starts_again():
    up, down = np.full(BATCH, 1.0), np.full(BATCH, -1.0)
    _, probabilities = _run(start(0.5), [up, up, up, down, up, up, up, up])  # mean signs 0.5 and 1
    np.testing.assert_allclose(probabilities, [0.5] * 3 + [0.3] * 4 + [0.5], atol=1e-6)
    state, _ = _run(start(0.5), [up] * 4)
    assert (float(state.sign_sum), int(state.count)) == (0.0, 0)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_do_not_count(bad):
    known, lost = np.full(BATCH, 1.0), np.full(BATCH, bad)
    partly = np.asarray([bad, 1.0, 1.0, bad, 1.0])
    _, probabilities = _run(start(0.5), [known, lost, partly, lost, known, known])
    np.testing.assert_allclose(probabilities, [0.5] * 5 + [0.7], atol=1e-6)
    # One of five that is known is all of those that count, and above the target.
    _, probabilities = _run(start(0.5), [np.asarray([bad, bad, 1.0, bad, bad])], every=1)
    np.testing.assert_allclose(probabilities, [0.55], atol=1e-6)


def test_types_stay():
    state = start(0.0)
    moved = adapt(state, jnp.ones(BATCH, jnp.bfloat16), target=0.6, every=1, images=100)
    for before, after in zip(vars(state).values(), vars(moved).values(), strict=True):
        assert (before.dtype, before.shape) == (after.dtype, after.shape)


@pytest.mark.parametrize('probability', [-0.1, 1.1, float('nan')])
def test_a_start_outside_0_and_1_is_refused(probability):
    with pytest.raises(ValueError, match='must be from 0 to 1'):
        start(probability)
