"""The worst pairs come first, each beside its truth and its error."""

import numpy as np

from gan.translation.worst import COLUMNS, WorstPairs

_SIDE = 64  # cells that are not enlarged


def _images(levels):
    return np.broadcast_to(np.array(levels, np.float32)[:, None, None, None], (len(levels), _SIDE, _SIDE, 1))


def test_the_largest_errors_of_all_batches_come_first_with_their_errors():
    worst = WorstPairs()
    for start in (0, 6):
        drawn = _images([0.05 * (start + number) for number in range(6)])
        worst.add(drawn[:, 0, 0, 0].astype(float), _images([-1] * 6), drawn, _images([0] * 6))
    picture = worst.draw()
    assert picture.shape == (8 * _SIDE, len(COLUMNS) * _SIDE, 3)
    cells = picture[::_SIDE, ::_SIDE, 0].astype(int)
    expected = np.array([0.05 * number for number in range(11, 3, -1)])
    assert (cells[:, 0] == 0).all()
    np.testing.assert_allclose(cells[:, 1], (expected + 1) * 127.5, atol=1)
    np.testing.assert_allclose(cells[:, 2], 128, atol=1)
    np.testing.assert_allclose(cells[:, 3], np.minimum(expected / 0.5, 1) * 255, atol=1)


def test_colours_are_shown_by_their_mean_beside_grey():
    worst = WorstPairs()
    worst.add(np.ones(2), np.repeat(_images([0.2, 0.4]), 3, axis=-1), _images([0, 0]), _images([0, 0]))
    np.testing.assert_allclose(worst.draw()[::_SIDE, 0, 0], np.array([1.2, 1.4]) * 127.5, atol=1)
