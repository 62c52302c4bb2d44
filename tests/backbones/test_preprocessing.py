"""What trained networks are given: sizes, channels and ranges."""

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from backbones.preprocessing import IMAGENET, INCEPTION, Preprocess
from foundation.training.errors import UserError

SMALL = Preprocess(20, (0.4, 0.5, 0.6), (0.1, 0.2, 0.5))


def _images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_mean_and_deviation_are_of_images_from_0_to_1():
    images = _images(2, 20, 20, 3)
    expected = ((images + 1) / 2 - [0.4, 0.5, 0.6]) / [0.1, 0.2, 0.5]
    np.testing.assert_allclose(SMALL.prepare(jnp.asarray(images)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('shape', [(48, 36), (12, 28), (7, 7)])
def test_resizing_is_pillows_bilinear(shape):
    """Pillow widens its triangle where it shrinks, and so does clean-fid."""
    image = _images(1, *shape, 1)
    got = Preprocess(20, (0.5,) * 3, (0.5,) * 3).prepare(jnp.asarray(image))
    expected = PIL.Image.fromarray(image[0, ..., 0]).resize((20, 20), PIL.Image.Resampling.BILINEAR)
    np.testing.assert_allclose(got[0, ..., 0], np.asarray(expected), atol=2e-5)


def test_grey_becomes_three_equal_channels_and_other_numbers_are_refused():
    images = jnp.asarray(_images(2, 16, 16, 1))
    prepared = Preprocess(20, (0.5,) * 3, (0.5,) * 3).prepare(images)
    assert prepared.shape == (2, 20, 20, 3)
    np.testing.assert_array_equal(prepared[..., 0], prepared[..., 2])
    with pytest.raises(UserError, match='Images have 4 channels'):
        SMALL.prepare(jnp.zeros((1, 20, 20, 4)))


def test_ranges_of_the_standard_networks():
    ends = jnp.array([-1.0, 1.0]).reshape(2, 1, 1, 1)
    inception, imagenet = INCEPTION.prepare(ends), IMAGENET.prepare(ends)
    assert (inception.shape, imagenet.shape) == ((2, 299, 299, 3), (2, 224, 224, 3))
    np.testing.assert_allclose(inception[:, 0, 0, 0], [-1, 1], rtol=1e-6)
    np.testing.assert_allclose(
        imagenet[:, 0, 0], [[-2.1179, -2.0357, -1.8044], [2.2489, 2.4286, 2.6400]], atol=1e-4
    )
    assert INCEPTION.resize == 'whole image to 299x299 pixels, bilinear, antialiased where it shrinks'
