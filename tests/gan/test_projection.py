"""Projection: the style of an image that was drawn is found again, and what linear algebra says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.evaluation.extractors import create_extractor
from gan.projection import (
    ProjectionOptions,
    check_styles,
    make_project,
    project_images,
    write_projected,
)
from gan.sources import LabelledBatch, SourceImages
from tests.gan.evaluation.untrained import create_trained

_MAP = jnp.asarray(np.random.default_rng(0).normal(size=(3, 16)), jnp.float32)


def _draw(styles):
    return (styles @ _MAP).reshape(-1, 4, 4, 1)


def test_a_linear_generator_is_inverted_by_least_squares():
    images = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4, 4, 1)), jnp.float32)
    project = make_project(_draw, lambda seen: seen.reshape(len(seen), -1), ProjectionOptions(400, 0.1, 0.5))
    found = project(images, jnp.zeros((2, 3)))
    expected = np.linalg.lstsq(np.asarray(_MAP).T, np.asarray(images).reshape(2, 16).T, rcond=None)[0].T
    np.testing.assert_allclose(found, expected, atol=1e-3)
    alone = project(images[1:], jnp.zeros((1, 3)))
    np.testing.assert_allclose(alone, found[1:], atol=1e-3)


def test_the_best_is_kept_where_steps_lead_away():
    images = _draw(jnp.ones((1, 3)))
    project = make_project(_draw, lambda seen: seen.reshape(len(seen), -1), ProjectionOptions(3, 50.0, 0.0))
    np.testing.assert_allclose(project(images, jnp.ones((1, 3))), jnp.ones((1, 3)), atol=1e-6)
    broken = project(images * jnp.nan, jnp.ones((1, 3)))
    np.testing.assert_array_equal(broken, jnp.ones((1, 3)))


@pytest.mark.slow
def test_drawn_images_are_found_again(tmp_path):
    trained, extractor = create_trained('stylegan2', generator__style_size=8), create_extractor('random')
    network, variables = trained.network, trained.weights.variables
    styles = variables['styles']['mean'] + jax.random.normal(jax.random.key(1), (3, network.style_size))
    draw = jax.jit(functools.partial(network.apply, method='synthesize'))
    images = np.asarray(draw(variables, jnp.repeat(styles[:, None], network.layers, axis=1)))
    batch = LabelledBatch(images, np.full(3, -1, np.int32))
    source = SourceImages('drawn', ('a', 'b', 'c'), (), lambda size: iter([batch]))
    options = ProjectionOptions(80, 0.2, 1.0)
    found, shown = project_images(trained, extractor, source.evenly(2), options, batch_size=2)
    np.testing.assert_array_equal(shown, images[[0, 2]])
    assert (found.pixel_distances < 0.8 * found.start_pixel_distances).all()
    apart = np.square(found.images - shown).mean(axis=(1, 2, 3)) ** 0.5
    np.testing.assert_allclose(found.pixel_distances, apart, rtol=1e-4)
    write_projected(tmp_path / 'out', found, shown, ('a', 'c'), trained.image_format)
    with np.load(tmp_path / 'out' / 'projected.npz', allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays['styles'], found.styles)
        assert arrays['keys'].tolist() == ['a', 'c']
    assert (tmp_path / 'out' / 'projected.csv').read_text().splitlines()[0].startswith('key,pixel_distance,')
    assert (tmp_path / 'out' / 'projected.png').is_file()


def test_a_generator_without_styles_is_refused():
    with pytest.raises(UserError, match="architecture 'dcgan' has no styles to project images into"):
        check_styles(create_trained('dcgan'))
