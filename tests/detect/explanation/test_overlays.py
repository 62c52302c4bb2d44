"""Colours of maps, alone and over images."""

import matplotlib as mpl
import numpy as np

from detect.explanation import colour_map, draw_heat


def test_colours_are_those_of_inferno():
    places = np.linspace(0, 1, 256)
    expected = 255 * mpl.colormaps['inferno'](places)[:, :3]
    colours = colour_map(places[None])[0].astype(float)
    assert np.abs(colours - expected).max() <= 16.5  # nine colours stand for 256
    assert np.abs(colours - expected).mean() < 3
    assert (np.diff(colours @ [0.2126, 0.7152, 0.0722]) > -0.5).all()


def test_values_off_the_scale_are_its_ends():
    colours = colour_map(np.array([[-1.0, 0.0, 1.0, 9.0]]))[0]
    assert (colours[0] == colours[1]).all()
    assert (colours[2] == colours[3]).all()


def test_an_image_shows_where_its_map_is_cold():
    image = np.array([[-1.0, 0.0, 1.0, 1.5]])
    assert draw_heat(image, np.zeros((1, 4)))[0].tolist() == [[n] * 3 for n in (0, 128, 255, 255)]
    hot = draw_heat(image, np.ones((1, 4)))[0]
    np.testing.assert_allclose(hot[0], [0.6 * 252, 0.6 * 255, 0.6 * 164], atol=0.51)
    assert (np.diff(hot[:3].astype(int), axis=0) > 0).all()  # what is below is still seen
