"""Perceptual path length: closed forms, the difference that defines it, and what is left out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foundation.statistics.jackknife import Missing
from gan.evaluation.extractors import create_extractor
from gan.evaluation.paths import TITLES, measure_path_lengths, squared_speeds, summarize_speeds
from gan.latents import interpolate
from tests.gan.evaluation.untrained import create_trained

_DRAW = np.random.default_rng(0)
FIRST, LAST = (jnp.asarray(_DRAW.normal(size=(5, 4)), jnp.float32) for _ in range(2))
PLACES = _DRAW.uniform(size=5).astype(np.float32)
MAP = _DRAW.normal(size=(4, 7)).astype(np.float32)  # a linear generator, whose images are their own features


def _measure(distribution):
    path = functools.partial(interpolate, FIRST, LAST, distribution=distribution)
    return squared_speeds(lambda latents: latents @ MAP, path, jnp.asarray(PLACES))


def test_a_linear_generator_goes_along_a_line_at_one_speed():
    np.testing.assert_allclose(_measure('uniform'), np.square((LAST - FIRST) @ MAP).sum(axis=1), rtol=1e-5)


def test_a_linear_generator_turns_as_its_latents_do():
    expected = []
    for first, last, place in zip(np.asarray(FIRST, float), np.asarray(LAST, float), PLACES, strict=True):
        angle = np.arccos(first @ last / np.linalg.norm(first) / np.linalg.norm(last))
        speed = angle * (np.cos(place * angle) * last - np.cos((1 - place) * angle) * first) / np.sin(angle)
        expected.append(np.square(speed @ MAP).sum())
    np.testing.assert_allclose(_measure('normal'), expected, rtol=1e-4)


def test_speeds_are_what_small_differences_come_to():
    """Over e = 0.002 they agree to some percent: the features bend on the way."""
    trained, extractor = create_trained('perceptron'), create_extractor('random')
    network, variables = trained.network, trained.weights.variables
    ends = [jax.random.normal(jax.random.key(seed), (5, network.latent_size)) for seed in (1, 2)]
    path = functools.partial(interpolate, *ends, distribution='normal')

    def describe(latents):
        return extractor.extract({}, network.apply(variables, latents, jnp.zeros(5, jnp.int32))).features

    @jax.jit
    def compare(places):
        moved = describe(path(places + 2e-3)) - describe(path(places))
        return squared_speeds(describe, path, places), jnp.square(moved / 2e-3).sum(axis=1)

    speeds, expected = compare(jnp.asarray(PLACES))
    np.testing.assert_allclose(speeds, expected, rtol=0.1)
    assert (speeds > 0).sum() >= 3


@pytest.mark.slow
def test_styles_and_latents_are_measured_on_the_same_paths():
    trained, extractor = create_trained('stylegan2'), create_extractor('random')
    scores = measure_path_lengths(trained, extractor, count=4, seed=3, batch_size=4)
    assert scores.keys() == TITLES.keys()
    difference = scores['path_length_styles'].value - scores['path_length_latents'].value
    assert scores['path_length_difference'].value == pytest.approx(difference)
    assert min(scores['path_length_styles'].value, scores['path_length_latents'].value) > 0


def test_the_fastest_and_the_slowest_are_left_out():
    speeds = np.r_[0.0, np.full(98, 2.0), 1e9]
    score = summarize_speeds({'path_length_latents': speeds})['path_length_latents']
    assert score.value == 2
    assert score.counts == {'paths': 100}
    broken = summarize_speeds({'path_length_latents': np.asarray([1.0, np.inf])})['path_length_latents']
    assert broken == Missing('1 of 2 paths are not finite.')
