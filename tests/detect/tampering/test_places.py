"""Places lie in tissue and leave room."""

import numpy as np
import pytest

from detect.tampering.cubes import Region
from detect.tampering.places import choose_centres, choose_foreground_centres, keep_free_centres
from foundation.training.errors import UserError

REGION = Region(side=8, blank=4, seam=1.0)


def test_centres_are_in_tissue_with_room_around():
    random = np.random.default_rng(0)
    volume = random.normal(scale=0.01, size=(4, 30, 30)).astype(np.float32)
    volume[1:, :20, 10:] += 100
    centres = choose_centres(volume, (5, 1, 2), REGION, 20000, random).astype(int)
    expected = {(z, y, x) for z in (1, 2, 3) for y in range(4, 20) for x in range(10, 28)}
    assert set(map(tuple, centres)) == expected


def test_an_axis_too_short_is_cut_in_its_middle():
    volume = np.arange(5.0 * 7).reshape(1, 5, 7).astype(np.float32)[:, ::-1].copy()
    volume[0, 2, 3] = 40
    centres = choose_centres(volume, (1, 1, 1), REGION, 50, np.random.default_rng(0))
    assert np.unique(centres, axis=0).tolist() == [[0, 2, 3]]


@pytest.mark.parametrize('volume', [np.zeros((2, 9, 9)), np.eye(9)[::-1][None]])
def test_a_volume_without_tissue_is_refused(volume):
    volume = volume.astype(np.float32)
    volume[0, 4, 4] = 0
    with pytest.raises(UserError, match='no tissue'):
        choose_centres(volume, (1, 1, 1), REGION, 1, np.random.default_rng(0))


def test_a_small_lesion_comes_to_lie_in_the_middle():
    lesion = np.zeros((6, 20, 20), bool)
    lesion[2:4, 5:7, 8:10] = True
    centres = choose_foreground_centres(lesion, (2, 1, 1), REGION, 20, np.random.default_rng(0))
    np.testing.assert_allclose(centres, [[2.5, 5.5, 8.5]] * 20)


def test_any_part_of_a_large_lesion_may_be_chosen():
    lesion = np.zeros((1, 40, 40), bool)
    lesion[0, 4:36, 10] = True
    rows = choose_foreground_centres(lesion, (1, 1, 1), REGION, 500, np.random.default_rng(0))[:, 1]
    # The mean of what is in reach: the middle of 3 rows at the very end, the row itself elsewhere.
    assert set(rows) == {5.0, 5.5, *np.arange(6.0, 34), 33.5, 34.0}


def test_a_mask_that_shows_nothing_is_refused():
    with pytest.raises(UserError, match='shows nothing'):
        choose_foreground_centres(np.zeros((2, 9, 9), bool), (1, 1, 1), REGION, 1, np.random.default_rng(0))


@pytest.mark.parametrize(('spacing', 'free'), [((1, 1, 1), [0, 6, 7]), ((1, 1, 4), [0, 1, 2, 4, 5, 6, 7])])
def test_places_near_a_lesion_are_left_out(spacing, free):
    lesion = np.zeros((3, 8, 8), bool)
    lesion[1, 4, 3] = True
    centres = np.array([[1.0, 4.0, column] for column in range(8)])
    kept = keep_free_centres(centres, lesion, spacing, REGION)[:, 2].astype(int).tolist()
    assert kept == free
