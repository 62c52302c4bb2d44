"""What generators are set to: truncations, strokes, levels, and statistics that fit them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.evaluation.settings import find_settings
from gan.latents import draw_latents
from gan.standing import suit_statistics, with_standing_statistics
from tests.gan.evaluation.untrained import create_trained

LABELS = jnp.zeros(4, jnp.int32)


def _apply(trained, latents, **options):
    draw = functools.partial(trained.network.apply, **options)
    return jax.jit(draw)(trained.weights.variables, latents, LABELS)


@pytest.mark.parametrize(
    ('architecture', 'names'),
    [
        ('stylegan2', ['0.25', '0.5', '0.75', '1']),
        ('biggan', ['0.5', '1', '1.5', '2', 'none']),
    ],
)
def test_truncations_suit_the_generator(architecture, names):
    title, settings = find_settings(create_trained(architecture), ())
    assert title == 'truncation'
    assert [setting.name for setting in settings] == names
    _, wanted = find_settings(create_trained(architecture), (1.0, 0.3))
    assert [setting.truncation for setting in wanted] == [0.3, 1.0]


def test_a_generator_that_cannot_be_set_is_refused():
    with pytest.raises(
        UserError, match=r'There is nothing to sweep\. .* scales every latent vector to one length'
    ):
        find_settings(create_trained('progressive'), ())
    with pytest.raises(UserError, match=r'^This generator has no truncation'):
        find_settings(create_trained('progressive'), (0.5,))
    with pytest.raises(UserError, match='uniform latents, of which none is rare'):
        find_settings(create_trained('infogan'), ())


def test_strokes_are_added_one_by_one():
    trained = create_trained('gran', generator__steps=2)
    latents = draw_latents(jax.random.key(0), 4, trained.network.latent_size, 'normal')
    strokes = _apply(trained, latents, method='strokes')
    title, settings = find_settings(trained, ())
    assert title == 'strokes'
    assert [setting.name for setting in settings] == ['1 of 2', '2 of 2']
    for count, setting in enumerate(settings, start=1):
        np.testing.assert_allclose(
            _apply(setting.trained, latents), jnp.tanh(strokes[:count].sum(axis=0)), atol=1e-5
        )


def test_levels_are_those_of_the_pyramid():
    trained = create_trained('lapgan')
    network = trained.network
    latents = draw_latents(jax.random.key(0), 4, network.latent_size, network.latent_distribution)
    title, (coarse, fine) = find_settings(trained, ())
    assert (title, coarse.name, fine.name) == ('levels', '4x4', '8x8')
    np.testing.assert_allclose(_apply(fine.trained, latents), _apply(trained, latents), atol=1e-6)
    below = _apply(coarse.trained, latents[:, : coarse.trained.network.latent_size])
    assert below.shape == (4, 4, 4, 1)
    # The finest residual on it is the image: the levels are those of one chain.
    drawn = _apply(trained, latents, real=(below, jnp.zeros((4, 8, 8, 1))))[-1]
    np.testing.assert_allclose(drawn, _apply(trained, latents), atol=1e-5)


def test_standing_statistics_are_those_of_the_images_that_are_drawn():
    """Of one batch: then sampling gives what training would have seen of it."""
    trained = create_trained('dcgan', generator__latent_distribution='normal')
    network, seed = trained.network, 5
    stood = with_standing_statistics(trained, 0.5, batches=1, batch_size=4, seed=seed)
    (key,) = jax.random.split(jax.random.key(seed), 1)
    latents = draw_latents(key, 4, network.latent_size, network.latent_distribution, 0.5)
    state = [name for name in trained.weights.variables if name != 'params']
    expected, _ = _apply(trained, latents, update_stats=True, mutable=state)
    np.testing.assert_allclose(_apply(stood, latents), expected, atol=1e-4)
    assert np.abs(_apply(trained, latents) - expected).max() > 0.01


def test_statistics_of_what_has_none_are_refused():
    trained = create_trained('stylegan2')
    with pytest.raises(UserError, match='--standing is for batch normalization'):
        with_standing_statistics(trained, math.inf)
    assert suit_statistics(trained, 0.5) is trained
    whole = create_trained('dcgan')
    assert suit_statistics(whole, math.inf) is whole
    assert suit_statistics(whole, 0.5).checksum() != whole.checksum()
