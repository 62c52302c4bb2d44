"""Features in units of real images; which of them set generated images apart; the logarithm of a distance."""

import dataclasses
import math

import numpy as np
import pytest

from backbones.radiomics import FEATURES
from foundation.statistics.jackknife import Missing
from gan.evaluation import scoring
from gan.evaluation.drivers import describe_drivers, describe_logarithm
from gan.evaluation.statistics import find_units, in_units
from tests.gan.evaluation.drawn import draw_described, spoil

_MEASURES = FEATURES[:5]


def _described(features, seed=0):
    features = np.asarray(features, np.float32)
    return dataclasses.replace(draw_described(len(features), seed), features=features)


def _draw(count, seed):
    """Five features: of very different sizes, and one that is always the same."""
    noise = np.random.default_rng(seed).normal(size=(count, 5))
    return noise * [1, 1e6, 1e-3, 0, 10] + [0, 1e6, 0, 7, -5]


def test_units_are_the_deviations_of_real_images_and_constant_features_are_left_out():
    reference = _described(_draw(500, 0))
    units = find_units(reference)
    assert units.kept.tolist() == [0, 1, 2, 4]
    features = in_units(reference, units).features
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(features.std(axis=0), 1, rtol=1e-5)
    assert in_units(reference, None) is reference


def test_images_that_are_not_finite_do_not_decide_the_units():
    features = _draw(500, 0)
    features[7] = 1e9
    units = find_units(spoil(_described(features), 7))
    np.testing.assert_allclose(units.deviations, np.delete(features, 7, axis=0).std(axis=0)[units.kept], rtol=1e-5)


def test_distances_do_not_depend_on_what_features_are_measured_in():
    scores = []
    for scale in (1, np.array([1e3, 1e-3, 7, 1, 0.1])):
        reference, generated = (_described(_draw(300, seed) * scale, seed) for seed in (0, 1))
        units = find_units(reference)
        scores.append(scoring.measure_features(in_units(generated, units), in_units(reference, units), 10))
    for name in ('frechet_distance', 'kernel_distance', 'precision'):
        one, other = (each[name] for each in scores)
        assert one.value == pytest.approx(other.value, rel=1e-4), name


def test_drivers_are_the_features_that_moved():
    reference, moved = _draw(4000, 0), _draw(4000, 1)
    moved[:, 4] += 3 * 10
    moved[:, 2] *= 2.5
    described, units = _described(reference), find_units(_described(reference))
    drivers = describe_drivers(in_units(_described(moved), units), in_units(described, units), units, _MEASURES)
    assert [driver['feature'] for driver in drivers[:2]] == [_MEASURES[4], _MEASURES[2]]
    assert drivers[0]['shift'] == pytest.approx(3, abs=0.1)
    assert drivers[1]['spread'] == pytest.approx(2.5, abs=0.1)
    assert drivers[1]['words'] == 'sum of squared brightness'
    nothing = spoil(_described(moved), *range(len(moved)))
    assert describe_drivers(in_units(nothing, units), in_units(described, units), units, _MEASURES) == []


def test_the_logarithm_is_that_of_the_distance_not_of_its_square():
    reference, generated = (_described(_draw(300, seed), seed) for seed in (0, 1))
    score = scoring.measure_features(generated, reference, 10)['frechet_distance']
    logarithm = describe_logarithm(score)
    assert math.exp(2 * logarithm['value']) == pytest.approx(score.value)
    assert logarithm['interval'][0] is None or logarithm['interval'][0] < logarithm['value']
    assert logarithm['value'] < logarithm['interval'][1]
    assert describe_logarithm(Missing('too few images.')) is None
