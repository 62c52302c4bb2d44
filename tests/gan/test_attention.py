"""Attention in chunks against the full matrix, to second derivatives, and against numbers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan import attention


def _inputs():
    keys = jax.random.split(jax.random.key(0), 3)
    return [jax.random.normal(k, shape) for k, shape in zip(keys, [(2, 12, 3), (2, 6, 3), (2, 6, 4)], strict=True)]


def test_attention_by_hand():
    queries, keys = jnp.asarray([[[1.0, 0.0]]]), jnp.asarray([[[0.0, 5.0], [np.log(3.0), 7.0]]])
    values = jnp.asarray([[[1.0], [5.0]]])
    # Scores 0 and log 3, so the weights are 1/4 and 3/4.
    np.testing.assert_allclose(attention.attend(queries, keys, values), [[[4.0]]], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('chunk', [1, 4, 12])
def test_chunks_give_the_same_values_and_derivatives(chunk):
    inputs = _inputs()

    def full(q, k, v):
        return jnp.sum(jnp.sin(attention.attend(q, k, v)))

    def cut(q, k, v):
        return jnp.sum(jnp.sin(attention.attend_in_chunks(q, k, v, chunk)))

    def penalty(function):
        return lambda *args: sum(jnp.sum(jnp.square(g)) for g in jax.grad(function, argnums=(0, 1, 2))(*args))

    np.testing.assert_allclose(
        attention.attend_in_chunks(*inputs, chunk), attention.attend(*inputs), rtol=1e-5, atol=1e-6
    )
    for one, other in [(full, cut), (penalty(full), penalty(cut))]:
        expected = jax.grad(one, argnums=(0, 1, 2))(*inputs)
        actual = jax.grad(other, argnums=(0, 1, 2))(*inputs)
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def _largest_array(jaxpr):
    """Elements of the largest intermediate array, loops included."""
    sizes = [variable.aval.size for equation in jaxpr.eqns for variable in equation.outvars]
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            inner = getattr(value, 'jaxpr', value)
            sizes += [_largest_array(inner)] if hasattr(inner, 'eqns') else []
    return max(sizes)


def test_chunks_never_hold_the_full_score_matrix():
    """Neither forwards nor backwards."""
    arguments = [jnp.zeros(shape) for shape in [(1, 4096, 4), (1, 1024, 4), (1, 1024, 8)]]

    def largest(function):
        gradient = jax.grad(lambda *args: jnp.square(function(*args)).sum(), argnums=(0, 1, 2))
        return _largest_array(jax.make_jaxpr(gradient)(*arguments).jaxpr)

    assert largest(attention.attend) == 4096 * 1024
    assert largest(lambda q, k, v: attention.attend_in_chunks(q, k, v, 256)) == 256 * 1024


def test_chunks_must_divide_the_queries():
    with pytest.raises(ValueError, match='chunks of 5'):
        attention.attend_in_chunks(*_inputs(), 5)


def test_max_pool():
    x = jnp.asarray(np.arange(16.0).reshape(1, 4, 4, 1))
    np.testing.assert_array_equal(attention.max_pool(x)[0, :, :, 0], [[5, 7], [13, 15]])


def test_a_new_layer_is_an_identity_with_the_papers_shapes():
    layer = attention.SelfAttention()
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 16))
    variables = layer.init(jax.random.key(1), x)
    np.testing.assert_array_equal(layer.apply(variables, x), x)
    shapes = {name: leaf['kernel'].shape for name, leaf in variables['params'].items() if name != 'gamma'}
    assert shapes == {
        'theta': (1, 1, 16, 2),
        'phi': (1, 1, 16, 2),
        'g': (1, 1, 16, 8),
        'o': (1, 1, 8, 16),
    }
    assert set(variables['spectral']) == {'theta', 'phi', 'g', 'o'}
