"""BigGAN: chunks of the latent and the class modulate blocks, weights start orthogonal, batches are normalised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan.networks.biggan import ModulatedBatchNorm
from gan.penalties import orthogonal_penalty
from tests.gan import nets


@pytest.mark.slow
@pytest.mark.parametrize('num_classes', [0, 3])
def test_each_chunk_of_the_latent_modulates_one_block(num_classes):
    """At 16x16: of eight numbers the first layer has three, and the two blocks three and two."""
    network = nets.create_networks('biggan', 16, num_classes=num_classes)['generator']
    latents, labels = jnp.ones((2, nets.LATENTS)), jnp.zeros((2,), jnp.int32)

    @jax.jit
    def modulations(latents, labels):
        _, seen = network.apply(
            variables, latents, labels, capture_intermediates=_is_modulation, mutable='intermediates'
        )
        return {name: block['gain']['__call__'][0] for name, block in seen['intermediates'].items()}

    variables = jax.jit(network.init)(jax.random.key(0), latents, labels)
    before = modulations(latents, labels)
    assert sorted(before) == ['16x16_norm0', '16x16_norm1', '8x8_norm0', '8x8_norm1']
    for places, moved in ((slice(0, 3), ''), (slice(3, 6), '8x8'), (slice(6, 8), '16x16')):
        after = modulations(latents.at[:, places].add(1.0), labels)
        changed = {name.split('_')[0] for name in before if np.abs(after[name] - before[name]).max() > 1e-4}
        assert changed == ({moved} - {''})
    if num_classes:
        after = modulations(latents, labels + 1)
        assert all(np.abs(after[name] - before[name]).max() > 1e-4 for name in before)


def _is_modulation(module, _):
    return module.name == 'gain'


def test_modulated_normalization_by_hand():
    norm, x = ModulatedBatchNorm(scaling='plain'), 3 + 2 * jax.random.normal(jax.random.key(0), (6, 4, 4, 5))
    condition = jax.random.normal(jax.random.key(1), (6, 3))
    variables = norm.init(jax.random.key(2), x, condition, False)
    params = variables['params']
    y, _ = norm.apply(variables, x, condition, True, mutable=['batch_stats'])
    standard = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5)
    gain, bias = (condition @ params[name]['kernel'] for name in ('gain', 'bias'))
    np.testing.assert_allclose(y, standard * (1 + gain)[:, None, None] + bias[:, None, None], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_weights_start_orthogonal_and_as_long_as_their_norm():
    """A kernel with fewer columns than rows starts with nothing for the penalty to do."""
    network = nets.create_networks('biggan')['generator']
    variables = network.init(jax.random.key(0), jnp.ones((1, nets.LATENTS)), jnp.zeros((1,), jnp.int32))
    kernel = variables['params']['8x8_conv0']['kernel']
    assert float(orthogonal_penalty({'kernel': kernel})) < 1e-6
    columns = kernel.reshape(-1, kernel.shape[-1])
    np.testing.assert_allclose(columns.T @ columns, np.eye(columns.shape[1]), atol=1e-5)


def test_the_orthogonal_penalty_enters_the_generators_update():
    objective = nets.create_objective('hinge', 'none', orthogonal_weight=1e-4)
    recipe = nets.create_recipe('biggan', objective=objective)
    state = jax.eval_shape(lambda key: nets.create_start(recipe, key), jax.random.key(0))
    step = recipe.create_updates(recipe)[1]
    assert step.trains == ('generator',)
    (cycle,) = nets.create_cycle(recipe)
    told = jax.eval_shape(cycle, state, nets.create_batch(8), jax.random.key(1), nets.controls())[1]
    assert 'orthogonal_penalty' in told
