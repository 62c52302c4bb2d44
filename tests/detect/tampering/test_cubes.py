"""What is cut, how it is equalised and put back, against forms written down."""

import numpy as np
import pytest
import scipy.stats

from detect.tampering.cubes import CT_GAN, Region, cut_cube, fit_equalisation, restore_cube
from foundation.training.errors import UserError

REGION = Region(side=8, blank=4, seam=1.0)
SPACING = 2.5, 0.7, 1.3


def ramp(shape):
    """Linear in mm, so that interpolation is exact."""
    z, y, x = (np.arange(size) * step for size, step in zip(shape, SPACING, strict=True))
    return (z[:, None, None] + 10 * y[:, None] + 100 * x).astype(np.float32)


def test_cube_is_on_a_grid_of_millimetres():
    cut = cut_cube(ramp((8, 30, 20)), SPACING, (4, 15, 10), REGION)
    offsets = np.arange(8) - 3.5
    expected = (4 * 2.5 + offsets)[:, None, None] + 10 * (15 * 0.7 + offsets)[:, None] + 100 * (10 * 1.3 + offsets)
    physical = np.interp(cut.cube, cut.levels, cut.values)
    np.testing.assert_allclose(physical, expected, atol=1e-2)
    assert (cut.cube.min(), cut.cube.max()) == (-1, 1)


def test_what_is_restored_is_what_was_there():
    volume = ramp((8, 30, 20))
    cut = cut_cube(volume, SPACING, (4, 15, 10), REGION)
    places = slice(3, 6), slice(12, 19), slice(8, 12)
    np.testing.assert_allclose(restore_cube(cut, cut.cube, places), volume[places], atol=1e-2)


@pytest.mark.parametrize('depth', [1, 8])
def test_the_middle_is_blank(depth):
    blank = REGION.blanked(depth)
    assert blank.shape == (depth, 8, 8)
    assert blank.sum() == (64 if depth == 8 else 16)
    assert blank[depth // 2, 2:6, 2:6].all()
    volume = np.random.default_rng(0).normal(size=(depth, 9, 9)).astype(np.float32)
    cut = cut_cube(volume, (1, 1, 1), ((depth - 1) / 2, 4, 4), REGION)
    assert (cut.blanked[blank] == -1).all()
    np.testing.assert_array_equal(cut.blanked[~blank], cut.cube[~blank])


def test_published_sizes():
    assert CT_GAN.blanked(32).sum() == 20**3


@pytest.mark.parametrize('constant', [False, True])
def test_equalisation_is_the_rank_and_comes_back(constant):
    cube = np.random.default_rng(1).exponential(size=(4, 5, 5)).round(1).astype(np.float32)
    cube = np.full_like(cube, 7) if constant else cube
    values, levels = fit_equalisation(cube)
    equalised = np.interp(cube, values, levels)
    ranks = scipy.stats.rankdata(cube.astype(np.float64))
    if constant:
        assert not equalised.any()
    else:
        expected = 2 * (ranks - ranks.min()) / np.ptp(ranks) - 1
        np.testing.assert_allclose(equalised.ravel(), expected, atol=1e-12)
    np.testing.assert_allclose(np.interp(equalised, levels, values), cube, rtol=1e-6)


@pytest.mark.parametrize(
    ('centre', 'spacing', 'hole'),
    [((8, 5, 5), (1, 1, 1), False), ((2, -1, 5), (1, 1, 1), False), ((2, 5, 5), (1, 0, 1), False),
     ((2, 5, 5), (1, 1, 1), True)],
)  # fmt: skip
def test_where_nothing_can_be_cut(centre, spacing, hole):
    volume = np.zeros((8, 10, 10), np.float32)
    if hole:
        volume[2, 5, 5] = np.nan
    with pytest.raises(UserError, match='around'):
        cut_cube(volume, spacing, centre, REGION)


@pytest.mark.parametrize(
    ('side', 'blank', 'seam'), [(8, 8, 1.0), (8, 5, 1.0), (8, 4, 2.0), (8, 4, 0.0), (4, 8, 1.0)]
)
def test_impossible_regions_are_refused(side, blank, seam):
    with pytest.raises(ValueError, match='seams lie'):
        Region(side, blank, seam)
