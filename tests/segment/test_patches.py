"""Patches cut in training, and windows that cover an image in prediction."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training import parallel
from segment.inference import create_predictor
from segment.networks import UNet
from segment.patches import cut_patches, gaussian_weights, join_windows, split_windows, window_starts

COUNT, HEIGHT, WIDTH, PATCH = 64, 20, 14, 8


@functools.partial(jax.jit, static_argnums=(2, 3))
def _compiled(images, ids, patch, share, key):
    return cut_patches(images, ids, patch, share, key)


def _cut(images, ids, share, seed=0, patch=PATCH):
    cut = _compiled(jnp.asarray(images), jnp.asarray(ids), patch, share, jax.random.key(seed))
    return tuple(map(np.asarray, cut))


def _numbered(count=COUNT):
    """Images whose pixels tell where they are: row and column."""
    places = np.stack(np.indices((HEIGHT, WIDTH)), axis=-1).astype(np.float32)
    return np.broadcast_to(places, (count, HEIGHT, WIDTH, 2)).copy()


def _corners(patches):
    """Where patches of numbered images were cut, after checking that they are whole."""
    corners = patches[:, 0, 0].astype(int)
    for patch, (row, column) in zip(patches, corners, strict=True):
        np.testing.assert_array_equal(patch, _numbered(1)[0, row : row + PATCH, column : column + PATCH])
    return corners


def _one_pixel(seed=0):
    """A single pixel of foreground in each image, at another place in each."""
    places = np.random.default_rng(seed).integers(0, (HEIGHT, WIDTH), (COUNT, 2))
    places[:4] = [(0, 0), (0, WIDTH - 1), (HEIGHT - 1, 0), (HEIGHT - 1, WIDTH - 1)]
    ids = np.zeros((COUNT, HEIGHT, WIDTH), np.int32)
    ids[np.arange(COUNT), places[:, 0], places[:, 1]] = 2
    return ids


@pytest.mark.parametrize('seed', range(4))
def test_forced_patches_hold_foreground_and_their_image(seed):
    ids = _one_pixel()
    patches, masks = _cut(_numbered(), ids, 1.0, seed)
    for corner, mask, whole in zip(_corners(patches), masks, ids, strict=True):
        row, column = corner
        np.testing.assert_array_equal(mask, whole[row : row + PATCH, column : column + PATCH])
        assert mask.max() == 2


def test_a_forced_patch_lies_anywhere_around_its_pixel():
    ids = np.zeros((COUNT, HEIGHT, WIDTH), np.int32)
    ids[:, 10, 7] = 1
    corners = np.concatenate([_corners(_cut(_numbered(), ids, 1.0, seed)[0]) for seed in range(12)])
    rows, columns = np.unique(corners[:, 0], return_counts=True), np.unique(corners[:, 1])
    np.testing.assert_array_equal(rows[0], range(3, 11))
    assert rows[1].min() > 0.6 * len(corners) / PATCH  # each as likely
    np.testing.assert_array_equal(columns, range(WIDTH - PATCH + 1))


def test_each_foreground_pixel_is_as_likely():
    ids = np.zeros((COUNT, HEIGHT, WIDTH), np.int32)
    ids[:, 0, 0] = ids[:, 19, :2] = ids[:, 19, 13] = 1
    held = np.concatenate([_cut(_numbered(), ids, 1.0, seed)[1] for seed in range(20)])
    in_first = (held.sum(axis=(1, 2)) == 1) & (held[:, 0, 0] == 1)  # the only one that can lie in that corner
    assert abs(in_first.mean() - 0.25) < 0.05


def test_free_patches_lie_everywhere_alike():
    corners = np.concatenate([_corners(_cut(_numbered(), _one_pixel(), 0.0, seed)[0]) for seed in range(12)])
    for axis, room in ((0, HEIGHT - PATCH), (1, WIDTH - PATCH)):
        counts = np.bincount(corners[:, axis], minlength=room + 1)
        assert len(counts) == room + 1
        assert np.abs(counts / len(corners) * (room + 1) - 1).max() < 0.5


def test_the_share_is_that_of_forced_patches():
    ids = _one_pixel()
    holding = {
        share: np.mean([_cut(_numbered(), ids, share, seed)[1].any(axis=(1, 2)).mean() for seed in range(12)])
        for share in (0.0, 0.33, 1.0)
    }
    assert holding[1.0] == 1
    assert holding[0.33] == pytest.approx(0.33 + 0.67 * holding[0.0], abs=0.05)


def test_without_foreground_patches_are_free():
    patches, masks = _cut(_numbered(), np.zeros((COUNT, HEIGHT, WIDTH), np.int32), 1.0)
    assert not masks.any()
    assert len(np.unique(_corners(patches), axis=0)) > COUNT / 3


def test_a_patch_as_large_as_the_image_is_the_image():
    images, ids = _numbered()[:, :PATCH, :PATCH], _one_pixel()[:, :PATCH, :PATCH]
    patches, masks = _cut(images, ids, 0.5)
    np.testing.assert_array_equal(patches, images)
    np.testing.assert_array_equal(masks, ids)
    flat = _cut(_numbered()[:, :PATCH], _one_pixel()[:, :PATCH], 0.0)[0]  # as large along one axis only
    assert (_corners(flat)[:, 0] == 0).all()
    assert _corners(flat)[:, 1].max() == WIDTH - PATCH


@pytest.mark.parametrize('patch', [2, 7, 8, 64])
@pytest.mark.parametrize('size', [1, 7, 8, 9, 12, 13, 16, 33, 100])
def test_windows_cover_all_and_are_half_a_window_apart_at_most(size, patch):
    starts = window_starts(size, patch)
    covered = np.zeros(size, int)
    for start in starts:
        covered[start : start + patch] += 1
    assert covered.min() >= 1
    assert starts[0] == 0
    assert starts[-1] == max(size - patch, 0)
    apart = np.diff(starts)
    if size > patch:
        assert apart.min() >= 1
        assert apart.max() <= -(-patch // 2)  # rounded to whole pixels
        assert apart.max() - apart.min() <= 1


def test_weights_fall_from_the_middle_and_never_vanish():
    weights = gaussian_weights(16)[..., 0]
    np.testing.assert_array_equal(weights, weights[::-1, ::-1].T)
    assert weights.min() == weights[0, 0] > 0
    assert weights.max() == weights[7, 8]
    assert weights[7, 11] / weights[7, 8] == pytest.approx(np.exp(-0.5 * (3.5**2 - 0.5**2) / 2**2), rel=1e-5)


@pytest.mark.parametrize('size', [(20, 14), (9, 30), (8, 8), (5, 30), (5, 3)])
def test_joined_windows_give_a_field_back_without_seams(size):
    rows, columns = np.indices(size).astype(np.float32)
    field = np.stack([np.stack([rows, columns, 3 - rows + 2 * columns, np.ones(size)], axis=-1)] * 2)
    field[1] *= -1
    field = field.astype(np.float32)
    windows, places = split_windows(field, PATCH)
    assert windows.shape[1:3] == tuple(min(side, PATCH) for side in size)
    joined = join_windows(windows, places, 2, *size)
    np.testing.assert_allclose(joined, field, rtol=1e-5, atol=1e-5)


def test_where_windows_disagree_the_mean_has_no_steps():
    """Every window says another number; from pixel to pixel their mean changes little."""
    _, places = split_windows(np.zeros((1, 64, 64, 1), np.float32), 32)
    own = np.stack([np.full((32, 32, 1), number % 2, np.float32) for number in range(len(places))])
    joined = join_windows(own, places, 1, 64, 64)[0, ..., 0]
    assert joined.min() >= 0
    assert joined.max() <= 1
    assert joined.max() - joined.min() > 0.9
    assert max(np.abs(np.diff(joined, axis=axis)).max() for axis in (0, 1)) < 0.25


@pytest.fixture(scope='module')
def predict():
    """By windows, and at once; batch normalization, so that a pixel does not depend on all others."""
    network = UNet(
        num_classes=3, width=4, max_width=4, strides=((2, 2),), kernels=((3, 3),) * 2, residual=False,
        normalization='batch', deep_supervision=False, encoder=None, prepare=None, dtype=jnp.float32,
    )  # fmt: skip
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    mesh = parallel.create_mesh()
    create = functools.partial(create_predictor, network, mesh, batch_size=4)
    whole = jax.jit(lambda images: jax.nn.softmax(network.apply(variables, images)[0]))

    def run(images, patch, mirror=()):
        return create(patch=patch, mirror=mirror)(variables, images)

    return run, lambda images: np.asarray(whole(jnp.asarray(images)))


def _images(count, height, width):
    return np.random.default_rng(0).uniform(-1, 1, (count, height, width, 1)).astype(np.float32)


@pytest.mark.parametrize('size', [(8, 8), (7, 5)])
def test_prediction_equals_the_whole_where_it_fits(predict, size):
    """Five slices, in batches of four."""
    by_windows, whole = predict
    images = _images(5, *size)
    np.testing.assert_allclose(by_windows(images, 8), whole(images), atol=1e-6)


def test_prediction_of_a_larger_image_joins_its_windows(predict):
    by_windows, whole = predict
    images = _images(2, 20, 11)
    chances = by_windows(images, 8)
    np.testing.assert_allclose(chances.sum(axis=-1), 1, rtol=1e-5)
    windows, places = split_windows(images, 8)
    np.testing.assert_allclose(chances, join_windows(whole(windows), places, 2, 20, 11), atol=1e-6)
    # In the middle of large windows the network sees all that it looks at: as if there were no windows.
    images = _images(1, 60, 32)
    np.testing.assert_allclose(by_windows(images, 32)[0, 2:14], whole(images)[0, 2:14], atol=1e-2)


def test_mirrored_copies_are_turned_back_and_averaged(predict):
    by_windows, whole = predict
    images = _images(3, 8, 6)
    flips = [(), (1,), (2,), (1, 2)]
    expected = np.mean([np.flip(whole(np.flip(images, axes)), axes) for axes in flips], axis=0)
    np.testing.assert_allclose(by_windows(images, 8, ('horizontal', 'vertical')), expected, atol=1e-6)
    both = np.mean([np.flip(whole(np.flip(images, axes)), axes) for axes in ((), (2,))], axis=0)
    np.testing.assert_allclose(by_windows(images, 8, ('horizontal',)), both, atol=1e-6)
