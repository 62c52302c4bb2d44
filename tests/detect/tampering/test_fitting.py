"""A tiny inpainter learns to go on with waves, and is the same for the same seed."""

import numpy as np
import pytest

from detect.tampering.cubes import Region
from detect.tampering.inpainter import fit_inpainter
from foundation.training.errors import UserError

REGION = Region(side=16, blank=8, seam=1.0)
OPTIONS = {'width': 4, 'batch_size': 8}


def draw_waves(count, depth, seed):
    """Of random direction and phase, in [-1, 1]."""
    random = np.random.default_rng(seed)
    z, y, x = np.meshgrid(np.arange(depth), np.arange(16), np.arange(16), indexing='ij')
    angle, phase = random.uniform(0, 2 * np.pi, (2, count, 1, 1, 1))
    return np.sin(0.3 * (np.cos(angle) * x + np.sin(angle) * y + z) + phase).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize('depth', [1, 16])
def test_what_is_made_is_nearer_than_the_mean(depth):
    inpaint = fit_inpainter(draw_waves(200, depth, 0), REGION, steps=120, seed=0, **OPTIONS)
    unseen, blank = draw_waves(20, depth, 1), REGION.blanked(depth)
    made = np.stack([inpaint(np.where(blank, np.float32(-1), cube)) for cube in unseen])
    np.testing.assert_array_equal(made[:, ~blank], unseen[:, ~blank])
    means = np.stack([np.full_like(cube, cube[~blank].mean()) for cube in unseen])
    errors = [np.abs(each - unseen)[:, blank].mean() for each in (made, means)]
    assert errors[0] < 0.6 * errors[1]


def test_seeds_decide():
    cubes = draw_waves(10, 1, 0)
    made = [fit_inpainter(cubes, REGION, steps=2, seed=seed, **OPTIONS)(cubes[0]) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


@pytest.mark.parametrize('cubes', [np.zeros((0, 1, 16, 16), np.float32), np.zeros((3, 1, 18, 18), np.float32)])
def test_cubes_that_cannot_be_used_are_refused(cubes):
    with pytest.raises(UserError, match='multiple of 4'):
        fit_inpainter(cubes, Region(side=cubes.shape[-1], blank=8, seam=1.0), steps=1, seed=0, **OPTIONS)
