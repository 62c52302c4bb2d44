"""What tampering changes, and what it leaves as it was."""

import numpy as np
import pytest
import scipy.ndimage

from detect.tampering.cubes import Region
from detect.tampering.tampering import noise_of, tamper, tamper_identically
from foundation.training.errors import UserError

REGION = Region(side=16, blank=10, seam=2.0)


def draw_volume(shape, noise):
    random = np.random.default_rng(0)
    smooth = scipy.ndimage.gaussian_filter(random.normal(size=shape), 3, mode='nearest') * 4000
    return (smooth + random.normal(size=shape) * noise).astype(np.float32)


@pytest.fixture
def random():
    return np.random.default_rng(1)


def lowest(cube):
    return np.full_like(cube, -1)


@pytest.mark.parametrize(
    ('shape', 'spacing', 'centre', 'voxels'),
    [
        # Voxels whose middle is less than 5 mm from the centre.
        ((20, 24, 24), (1, 1, 1), (10, 12, 12), 9 * 9 * 9),
        ((20, 24, 24), (1, 1, 1), (9.5, 12.5, 12.5), 10 * 10 * 10),
        ((20, 24, 24), (3, 0.7, 2), (10, 12, 12), 3 * 15 * 5),
        ((20, 24, 24), (1, 1, 1), (0, 1, 23), 5 * 6 * 5),
        ((1, 24, 24), (1, 1, 1), (0, 12, 12), 9 * 9),
    ],
)
@pytest.mark.parametrize('inpaint', [lowest, None])
def test_changes_stay_in_the_mask(shape, spacing, centre, voxels, inpaint, random):
    volume = draw_volume(shape, 5)
    kept = volume.copy()
    if inpaint is None:
        tampered, mask = tamper_identically(volume, spacing, centre, random, REGION)
    else:
        tampered, mask = tamper(volume, spacing, centre, inpaint, random, REGION)
    np.testing.assert_array_equal(volume, kept)
    assert mask.sum() == voxels
    np.testing.assert_array_equal(tampered[~mask], volume[~mask])
    if inpaint is not None:
        assert (tampered[mask] != volume[mask]).mean() > 0.8
    assert tampered.min() >= volume.min()
    assert tampered.max() <= volume.max()


def test_the_control_changes_nothing_on_its_own_grid(random):
    volume = draw_volume((20, 24, 24), 5)
    tampered, mask = tamper_identically(volume, (1, 1, 1), (9.5, 12.5, 12.5), random, REGION)
    np.testing.assert_allclose(tampered[mask], volume[mask], atol=2e-2)


@pytest.mark.parametrize('spacing', [(1, 1, 1), (2.5, 0.6, 0.8)])
def test_the_control_keeps_content_and_noise(spacing, random):
    """On another grid, interpolation takes noise away, which is given back."""
    volume = draw_volume((20, 40, 40), 20)
    smooth = draw_volume((20, 40, 40), 0)
    region = Region(side=16, blank=14, seam=1.0)
    tampered, mask = tamper_identically(volume, spacing, (10, 20, 20), random, region)
    box = scipy.ndimage.find_objects(mask.astype(int))[0]
    inner = tuple(slice(part.start + 1, part.stop - 1) for part in box)
    assert noise_of(tampered[inner].astype(float)) == pytest.approx(noise_of(volume[inner].astype(float)), rel=0.2)
    assert abs((tampered - smooth)[inner].mean()) < 5
    assert np.corrcoef(tampered[inner].ravel(), smooth[inner].ravel())[0, 1] > 0.95


def plant(volume):
    z, y, x = np.ogrid[: volume.shape[0], : volume.shape[1], : volume.shape[2]]
    lesion = (z - 10) ** 2 + (y - 12) ** 2 + (x - 12) ** 2 <= 9
    return np.where(lesion, volume + 500, volume).astype(np.float32), lesion


def test_a_lesion_is_removed(random):
    healthy = 100 + draw_volume((20, 24, 24), 5) / 40
    volume, lesion = plant(healthy)

    def fill(cube):
        return np.full_like(cube, np.median(cube[cube > -1]))

    tampered, mask = tamper(volume, (1, 1, 1), (10, 12, 12), fill, random, REGION)
    assert mask[lesion].all()
    assert np.abs(tampered - healthy)[lesion].mean() < 0.1 * np.abs(volume - healthy)[lesion].mean()


def test_a_lesion_is_injected(random):
    """The inpainter's word for bright is the brightest value of the cube."""
    healthy = draw_volume((20, 24, 24), 5)
    _, lesion = plant(healthy)

    def grow(cube):
        z, y, x = np.ogrid[:16, :16, :16]
        ball = (z - 7.5) ** 2 + (y - 7.5) ** 2 + (x - 7.5) ** 2 <= 9
        return np.where(ball, np.float32(1), np.float32(-1))

    tampered, mask = tamper(healthy, (1, 1, 1), (10, 12, 12), grow, random, REGION)
    cube = healthy[2:18, 4:20, 4:20].astype(float)
    assert tampered[10, 12, 12] == pytest.approx(cube.max(), abs=0.2 * np.ptp(cube))
    assert tampered[lesion].mean() > tampered[mask & ~lesion].mean() + 0.4 * np.ptp(cube)


def test_what_is_made_passes_gently_into_what_was(random):
    volume = np.zeros((20, 24, 24), np.float32)
    volume[0, 0, 0], volume[10, 20, 20] = -100, 1  # -100 lies outside of the cube
    volume[10, 5:20, 5:20] += np.linspace(0, 1e-3, 225, dtype=np.float32).reshape(15, 15)

    tampered, _ = tamper(volume, (1, 1, 1), (9.5, 12.5, 12.5), lambda cube: np.ones_like(cube), random, REGION)
    line = tampered[9, 12, 7:19]
    brightest = line.max()
    np.testing.assert_allclose(line, brightest * np.array([0, 1, 3, 4, 4, 4, 4, 4, 4, 3, 1, 0]) / 4, rtol=1e-3)


def test_content_comes_from_around_alone(random):
    """The inpainter sees nothing of what it replaces, and what it says of the rest is not heard."""
    volume, seen = draw_volume((20, 24, 24), 5), []

    def spoil(cube):
        seen.append(cube)
        return np.where(cube == -1, np.float32(0), np.float32(1))

    results = [tamper(volume, (1, 1, 1), (10, 12, 12), make, np.random.default_rng(0), REGION)[0]
               for make in (spoil, np.zeros_like)]  # fmt: skip
    assert (seen[0][3:13, 3:13, 3:13] == -1).all()
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize('sigma', [2.0, 30.0])
def test_noise_is_measured_on_a_slope(sigma):
    values = np.random.default_rng(2).normal(scale=sigma, size=(6, 40, 40)) + 50 * np.arange(40)
    assert noise_of(values) == pytest.approx(sigma, rel=0.05)
    assert noise_of(values[:, :2]) == 0


def test_noise_is_drawn_by_seed():
    volume = draw_volume((20, 24, 24), 5)
    drawn = [
        tamper(volume, (1, 1, 1), (10, 12, 12), np.zeros_like, np.random.default_rng(seed), REGION)[0]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_a_place_outside_is_refused(random):
    with pytest.raises(UserError, match='no cube'):
        tamper(draw_volume((3, 9, 9), 1), (1, 1, 1), (5, 4, 4), lowest, random, REGION)


def test_a_change_of_nothing_is_refused(random):
    with pytest.raises(UserError, match='larger region'):
        tamper(draw_volume((3, 9, 9), 1), (30, 1, 1), (0.5, 4, 4), lowest, random, REGION)
