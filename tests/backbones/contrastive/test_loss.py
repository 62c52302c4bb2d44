"""NT-Xent against a double loop over its definition; alignment and uniformity where they are known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backbones.contrastive.loss import alignment, contrast, uniformity


def _by_definition(rows, kin, temperature):
    """Equation 1 of the paper, view by view and pair by pair, in float64."""
    rows = np.asarray(rows, np.float64)
    losses = []
    for i in range(len(rows)):
        partner = i + 1 if i % 2 == 0 else i - 1
        total, together = 0.0, None
        for k in range(len(rows)):
            cosine = rows[i] @ rows[k] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[k]))
            if k == partner:
                together = math.exp(cosine / temperature)
            if k == partner or kin[k] != kin[i]:
                total += math.exp(cosine / temperature)
        losses.append(-math.log(together / total))
    return np.mean(losses)


@pytest.mark.parametrize('temperature', [0.1, 0.5, 2.0])
@pytest.mark.parametrize('patients', [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 2], [7, 7, 7, 7, 7, 8]])
def test_the_loss_is_that_of_a_double_loop(temperature, patients):
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(12, 5)), jnp.float32)
    kin = jnp.repeat(jnp.array(patients), 2)
    assert float(contrast(rows, kin, temperature)) == pytest.approx(
        _by_definition(rows, kin, temperature), abs=1e-6, rel=1e-6
    )


def test_without_anybody_else_there_is_nothing_to_learn():
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5)), jnp.float32)
    assert float(contrast(rows, jnp.zeros(6, int), 0.2)) == pytest.approx(0, abs=1e-6)


def test_gradients_are_finite_where_all_views_are_equal_or_zero():
    kin = jnp.repeat(jnp.arange(3), 2)
    for rows in (jnp.ones((6, 4)), jnp.zeros((6, 4)), 1e4 * jnp.eye(6)):
        value, gradient = jax.value_and_grad(contrast)(rows, kin, 0.2)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    # Five others at the same place: log 5.
    assert float(contrast(jnp.ones((6, 4)), kin, 0.2)) == pytest.approx(math.log(5), rel=1e-6)


def test_images_of_the_same_patient_are_not_pushed_apart():
    """The derivative of the loss by a row that is only kin, and no partner, is 0 through that pair."""
    rows = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)), jnp.float32)
    apart = jax.grad(contrast)(rows, jnp.array([0, 0, 1, 1]), 0.2)
    spared = jax.grad(contrast)(rows, jnp.array([0, 0, 0, 0]), 0.2)
    assert float(jnp.abs(spared).max()) < 1e-6 < float(jnp.abs(apart).max())


def test_alignment_and_uniformity_where_they_are_known():
    same = jnp.tile(jnp.array([[3.0, 0.0]]), (6, 1))
    assert float(alignment(same)) == 0
    assert float(uniformity(same)) == pytest.approx(0, abs=1e-6)  # collapsed
    # Two images at opposite poles, with views a right angle from their partner: lengths do not matter.
    poles = jnp.array([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -5.0]])
    assert float(alignment(poles)) == pytest.approx(2, rel=1e-6)
    assert float(uniformity(poles)) == pytest.approx(-8, rel=1e-6)
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    first = rows[::2] / np.linalg.norm(rows[::2], axis=1, keepdims=True)
    pairs = [np.exp(-2 * np.square(a - b).sum()) for i, a in enumerate(first) for b in first[:i]]
    assert float(uniformity(jnp.asarray(rows))) == pytest.approx(math.log(np.mean(pairs)), rel=1e-5)
