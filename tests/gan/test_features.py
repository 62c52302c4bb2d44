"""Random features as a detector of what goes wrong with generated images, and the resizing before them."""

import jax
import jax.numpy as jnp
import numpy as np

from gan.features import create_extractor, resized
from gan.layers import downsample
from gan.scores.gaussian import frechet_distance


def test_images_are_resized_by_means_or_by_repetition():
    images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1))
    np.testing.assert_array_equal(resized(images, 8), downsample(downsample(images)))
    assert resized(images, 64).shape == (2, 64, 64, 1)
    np.testing.assert_array_equal(resized(images, 64)[:, ::2, ::2], images)


def test_random_features_see_blur_darkness_and_repetition():
    extract = create_extractor(32)
    draw = jax.random.normal(jax.random.key(1), (400, 8, 8, 1))
    images = np.asarray(np.tanh(jax.image.resize(draw, (400, 32, 32, 1), 'cubic')))
    real, other = images[:200], images[200:]
    blurred = np.asarray(resized(resized(jnp.asarray(other), 8), 32))

    def distance(generated):
        return frechet_distance(np.asarray(extract(real)), np.asarray(extract(generated)))

    floor = distance(other)
    assert distance(blurred) > 5 * floor
    assert distance(other - 0.3) > 5 * floor
    assert distance(np.repeat(other[:4], 50, axis=0)) > 5 * floor
    assert distance(other[:, ::-1]) < 5 * floor
