"""Places lie in tissue and leave room."""

import numpy as np
import pytest

from detect.tampering.cubes import Region
from detect.tampering.places import choose_centres
from training.errors import UserError

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
