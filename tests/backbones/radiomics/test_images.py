"""Features are those of an independent program; what does not change them; images that have hardly any."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.radiomics.images import DIAGNOSTICS, FEATURES, describe_images

_FOLDER = Path(__file__).parent
_VALUES = json.loads((_FOLDER / 'frd_score.json').read_text())['values']


def _image(name):
    """In [-1, 1], with a batch and a channel."""
    return np.asarray(Image.open(_FOLDER / name), np.float64)[None, ..., None] / 127.5 - 1


def _ramp(height, width):
    return np.add.outer(np.arange(height) ** 2, 3.0 * np.arange(width))[None, ..., None] / 4096


@pytest.mark.parametrize('name', _VALUES)
def test_features_are_those_of_pyradiomics_as_the_distance_uses_it(name):
    names = [*DIAGNOSTICS, *FEATURES]
    assert sorted(names) == sorted(_VALUES[name])
    (found,) = describe_images(_image(name), diagnostics=True)
    wanted = np.array([_VALUES[name][each] for each in names])
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-5)
    np.testing.assert_array_equal(describe_images(_image(name)), [found[len(DIAGNOSTICS) :]])


def test_brightness_and_contrast_of_the_whole_image_do_not_matter():
    image = _image('a_00.png')
    np.testing.assert_allclose(describe_images(0.3 * image + 0.2), describe_images(image), rtol=1e-5, atol=1e-4)


def test_colour_is_grey_by_the_mean_of_its_channels():
    image = _image('a_00.png')
    colour = np.concatenate([image - 0.1, image, image + 0.1], axis=-1)
    np.testing.assert_allclose(describe_images(colour), describe_images(image), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('shape', [(7, 9), (8, 13), (16, 5)])
def test_odd_and_long_images_have_all_features(shape):
    assert np.isfinite(describe_images(_ramp(*shape))).all()


def test_an_even_image_has_finite_features():
    described = dict(zip(FEATURES, *describe_images(np.zeros((1, 16, 16, 1))), strict=True))
    assert all(np.isfinite(value) for value in described.values())
    assert described['firstorder_Variance'] == described['glcm_Contrast'] == 0
    assert described['glcm_Correlation'] == described['firstorder_Uniformity'] == 1
    assert described['glszm_LargeAreaEmphasis'] == 64**2


def test_a_turned_image_differs_in_its_bands_alone():
    """Directions are averaged, so that what does not know rows from columns stays."""
    image = np.random.default_rng(0).uniform(-1, 1, (1, 12, 12, 1))
    one, turned = (
        dict(zip(FEATURES, *describe_images(each), strict=True)) for each in (image, image.swapaxes(1, 2))
    )
    for name in FEATURES:
        band, _, rest = name.partition('_')
        swapped = {'wavelet-LH': 'wavelet-HL', 'wavelet-HL': 'wavelet-LH'}.get(band, band)
        assert turned[f'{swapped}_{rest}'] == pytest.approx(one[name], rel=1e-5, abs=1e-5), name
    assert turned['wavelet-LH_firstorder_Energy'] != one['wavelet-LH_firstorder_Energy']
