"""Latents: their distributions, by their moments, and what a command may ask of them."""

import math

import jax
import numpy as np
import pytest

from configs.gan import biggan, sngan, stylegan2, tiny
from foundation.training.errors import UserError
from gan.generation.selection import read_counts, read_seeds
from gan.latents import draw_latents, draw_numbered
from gan.recipe import create_recipe
from gan.sampler import check_truncation


def _network(config, **changes):
    config.generator.update(changes)
    recipe = create_recipe(config)
    return recipe.generator_at(recipe.resolution, recipe.image_format(0))


@pytest.mark.parametrize('bound', [0.5, 1.0, 2.0])
def test_truncated_latents_are_a_normal_distribution_cut_off(bound):
    latents = np.asarray(draw_latents(jax.random.key(0), 400, 100, 'normal', bound), np.float64)
    assert np.abs(latents).max() <= bound
    density = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi)
    inside = math.erf(bound / math.sqrt(2))
    assert latents.var() == pytest.approx(1 - 2 * bound * density / inside, rel=0.02)
    assert latents.mean() == pytest.approx(0, abs=0.02)


def test_without_truncation_latents_are_as_they_were():
    plain = draw_latents(jax.random.key(3), 4, 5, 'normal')
    np.testing.assert_array_equal(plain, jax.random.normal(jax.random.key(3), (4, 5)))


def test_truncated_latents_depend_on_their_number_alone():
    few, many = (draw_numbered(jax.random.key(1), jax.numpy.arange(n), 8, 'normal', 1.0) for n in (3, 5))
    np.testing.assert_array_equal(few, many[:3])


def test_truncation_of_styles_is_a_share():
    network = _network(stylegan2.get_config(), latent_distribution='uniform')
    check_truncation(network, 1.0)
    with pytest.raises(UserError, match=r'--truncation is 1.1, .* a share below 1'):
        check_truncation(network, 1.1)


def test_truncation_is_refused_where_it_means_nothing():
    for config in (sngan, biggan):
        check_truncation(_network(config.get_config()), 1.5)
    with pytest.raises(UserError, match='scales every latent vector to one length'):
        check_truncation(_network(tiny.get_config()), 0.5)
    with pytest.raises(UserError, match='uniform latents'):
        check_truncation(_network(sngan.get_config(), latent_distribution='uniform'), 0.5)


@pytest.mark.parametrize(
    ('texts', 'seeds'), [([], []), (['4'], [4]), (['1-3', '9'], [1, 2, 3, 9]), (['0-0'], [0])]
)
def test_seeds_are_numbers_and_ranges(texts, seeds):
    assert read_seeds(texts) == seeds


@pytest.mark.parametrize('text', ['', 'a', '-1', '1-2-3', '5-1', '0-1000', '4294967296', '1.5', chr(0x661)])
def test_what_is_no_seed_is_refused(text):
    with pytest.raises(UserError, match='--seeds'):
        read_seeds([text])


def test_a_seed_that_is_named_twice_is_refused():
    with pytest.raises(UserError, match='a seed twice'):
        read_seeds(['1-3', '2'])


def test_counts_are_by_class_whatever_its_name():
    assert read_counts(['benign=100', 'a=b=2']) == {'benign': 100, 'a=b': 2}


@pytest.mark.parametrize('pairs', [['a'], ['=3'], ['a=x'], ['a=-1'], ['a=1', 'a=2'], ['a=0'], ['a=10000001']])
def test_what_is_no_count_is_refused(pairs):
    with pytest.raises(UserError, match='--counts'):
        read_counts(pairs)
