"""Augmentation seen from outside: what happened is read off the images, then done again by SciPy and NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from gan.augmentation import GEOMETRY, INTENSITY, OPERATIONS, Augmentation, augment

KEY = jax.random.key(7)
HEIGHT, WIDTH = 24, 32
run = jax.jit(augment, static_argnums=0)


def _images(count, height=HEIGHT, width=WIDTH, channels=1, limit=1.0):
    values = np.random.default_rng(0).uniform(-limit, limit, (count, height, width, channels))
    return jnp.asarray(values, jnp.float32)


@functools.cache
def _moved(*operations, count=64):
    """Pictures and what became of them, and the affine map (2, 3) from each pixel to its source.

    Ramps of the column and of the row tell where each pixel came from: interpolation is exact on them.
    """
    pictures = np.asarray(_images(count))[..., 0]
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    ramps = np.broadcast_to(np.stack([columns, rows], -1), (count, HEIGHT, WIDTH, 2))
    images = jnp.asarray(np.concatenate([pictures[..., None], ramps], -1))
    results = np.asarray(run(Augmentation(operations, 0), images, KEY, 1.0))
    x, y = columns - (WIDTH - 1) / 2, rows - (HEIGHT - 1) / 2
    points = np.stack([x, y, np.ones_like(x)], -1)
    maps = []
    for source_x, source_y in np.moveaxis(results[..., 1:], -1, 1):
        # Where the edge goes on, a ramp is flat and tells nothing.
        inside = (source_x > 0) & (source_x < WIDTH - 1) & (source_y > 0) & (source_y < HEIGHT - 1)
        sources = np.stack([source_x - (WIDTH - 1) / 2, source_y - (HEIGHT - 1) / 2], -1)
        maps.append(np.linalg.lstsq(points[inside], sources[inside], rcond=None)[0].T)
    return pictures, results[..., 0], np.asarray(maps)


def _resample(picture, source_map):
    """SciPy's bilinear interpolation; it counts from the first pixel, rows first."""
    linear, shift = source_map[::-1, 1::-1], source_map[::-1, 2]
    middle = (np.asarray(picture.shape) - 1) / 2
    return scipy.ndimage.affine_transform(
        picture.astype(np.float64), linear, shift + middle - linear @ middle, order=1, mode='nearest'
    )


@pytest.mark.parametrize('operations', [*[(name,) for name in sorted(GEOMETRY)], tuple(sorted(GEOMETRY))])
def test_geometry_is_one_resampling_by_an_affine_map(operations):
    pictures, results, maps = _moved(*operations)
    for picture, result, source_map in zip(pictures, results, maps, strict=True):
        np.testing.assert_allclose(result, _resample(picture, source_map), atol=2e-3)


def test_flip_mirrors_half_of_the_images_and_no_more():
    pictures, results, _ = _moved('flip')
    mirrored = (results == pictures[:, :, ::-1]).all((1, 2))
    np.testing.assert_array_equal(results[~mirrored], pictures[~mirrored])
    assert 20 <= mirrored.sum() <= 44  # of 64; beyond 3 standard deviations otherwise


def test_translation_is_by_whole_pixels_up_to_an_eighth():
    _, _, maps = _moved('translation')
    np.testing.assert_allclose(maps[:, :, :2], np.broadcast_to(np.eye(2), (64, 2, 2)), atol=1e-5)
    np.testing.assert_allclose(maps[:, :, 2], np.rint(maps[:, :, 2]), atol=1e-4)
    columns, rows = np.rint(maps[:, :, 2]).T
    assert set(columns) == set(range(-4, 5))
    assert set(rows) == set(range(-3, 4))


def test_rotation_is_about_the_middle_up_to_ten_degrees_either_way():
    _, _, maps = _moved('rotation')
    angles = np.arctan2(maps[:, 1, 0], maps[:, 0, 0])
    expected = np.stack([np.cos(angles), -np.sin(angles), 0 * angles, np.sin(angles), np.cos(angles), 0 * angles])
    np.testing.assert_allclose(maps.reshape(-1, 6), expected.T, atol=1e-4)
    assert -10 <= np.degrees(angles.min()) < -8
    assert 8 < np.degrees(angles.max()) <= 10


def test_scaling_is_alike_in_both_directions():
    _, _, maps = _moved('scaling')
    factors = maps[:, 0, 0]
    expected = np.stack([factors, 0 * factors, 0 * factors, 0 * factors, factors, 0 * factors])
    np.testing.assert_allclose(maps.reshape(-1, 6), expected.T, atol=1e-4)
    logarithms = np.log2(factors)
    assert 0.07 < logarithms.std() < 0.13
    assert abs(logarithms.mean()) < 0.04


def test_geometry_keeps_its_draws_beside_other_operations_and_is_applied_in_order():
    """Flipped, scaled, turned, shifted: the source of a pixel is found by going back."""
    full = np.broadcast_to(np.eye(3), (64, 3, 3))
    for name in ('flip', 'scaling', 'rotation', 'translation'):
        single = np.concatenate([_moved(name)[2], full[:, 2:] * 0 + [0, 0, 1]], axis=1)
        full = full @ single
    np.testing.assert_allclose(_moved(*sorted(GEOMETRY))[2], full[:, :2], atol=2e-3)
    shuffled = _moved('translation', 'flip', 'scaling', 'rotation')[1]
    np.testing.assert_array_equal(shuffled, _moved(*sorted(GEOMETRY))[1])


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('operations', [*[(name,) for name in sorted(OPERATIONS)], tuple(sorted(OPERATIONS))])
def test_probability_0_changes_no_bit(operations, dtype):
    images = _images(4, channels=3, limit=3.0).at[0, 0, 0].set(-0.0).astype(dtype)
    same = run(Augmentation(operations, 1), images, KEY, 0.0)
    assert same.dtype == dtype
    np.testing.assert_array_equal(np.asarray(same).view(np.uint8), np.asarray(images).view(np.uint8))
    changed = run(Augmentation(operations, 1), images, KEY, 1.0)
    assert changed.dtype == dtype
    assert bool((changed != images).any())


@pytest.mark.parametrize('name', sorted(OPERATIONS))
def test_probability_is_that_of_each_image(name):
    images = _images(2000, 8, 8)
    changed = (run(Augmentation((name,), 0), images, KEY, 0.3) != images).any((1, 2, 3)).mean()
    # Half of the images that are flipped, and a ninth of those shifted by up to one pixel each way, stay.
    expected = 0.3 * {'flip': 1 / 2, 'translation': 8 / 9}.get(name, 1.0)
    assert abs(changed - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000)


def test_operations_happen_independently_of_each_other():
    images = _images(2000, 8, 8)
    changed = (run(Augmentation(('brightness', 'noise'), 0), images, KEY, 0.3) != images).any((1, 2, 3)).mean()
    assert abs(changed - (1 - 0.7**2)) < 4 * np.sqrt(0.51 * 0.49 / 2000)


@pytest.mark.parametrize('name', sorted(OPERATIONS))
def test_each_image_has_its_own_draws(name):
    images = jnp.broadcast_to(_images(1), (16, HEIGHT, WIDTH, 1))
    results = np.asarray(run(Augmentation((name,), 0), images, KEY, 1.0))
    distinct = len(np.unique(results.reshape(16, -1), axis=0))
    assert distinct == 2 if name == 'flip' else distinct >= 12
    other = np.asarray(run(Augmentation((name,), 0), images, jax.random.key(8), 1.0))
    assert (other != results).any()


def test_masks_move_with_their_images():
    images = _images(16)
    pairs = jnp.concatenate([images, -images, images], axis=-1)
    moved = run(Augmentation(tuple(GEOMETRY), 2), pairs, KEY, 1.0)
    np.testing.assert_array_equal(moved[..., 0], moved[..., 2])
    np.testing.assert_array_equal(moved[..., 1], -moved[..., 2])
    alone = run(Augmentation(tuple(GEOMETRY), 0), images, KEY, 1.0)
    np.testing.assert_allclose(moved[..., :1], alone, atol=1e-6)
    assert bool((moved != pairs).any((1, 2, 3)).all())


@pytest.mark.parametrize('name', sorted(INTENSITY))
def test_intensity_leaves_masks_and_does_not_look_at_them(name):
    images = _images(4, channels=3)
    pairs = jnp.concatenate([images, 1 - images], axis=-1)
    results = run(Augmentation((name,), 3), pairs, KEY, 1.0)
    np.testing.assert_array_equal(results[..., 3:], pairs[..., 3:])
    np.testing.assert_allclose(results[..., :3], run(Augmentation((name,), 0), images, KEY, 1.0), atol=1e-6)
    assert bool((results[..., :3] != images).any())


def _changed(name, images):
    return np.asarray(run(Augmentation((name,), 0), images, KEY, 1.0), np.float64)


def test_brightness_is_one_offset_an_image():
    images = _images(512, 4, 4, 3)
    offsets = _changed('brightness', images) - np.asarray(images)
    np.testing.assert_allclose(offsets, np.broadcast_to(offsets[:, :1, :1, :1], offsets.shape), atol=1e-6)
    assert -0.5 <= offsets.min() < -0.48
    assert 0.48 < offsets.max() <= 0.5


def test_contrast_stretches_about_the_mean_of_the_image():
    images = _images(512, 4, 4, 3)
    results, before = _changed('contrast', images), np.asarray(images, np.float64)
    mean = before.mean((1, 2, 3), keepdims=True)
    factors = results.std((1, 2, 3), keepdims=True) / before.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(results, mean + factors * (before - mean), atol=1e-5)
    assert 0.5 - 1e-5 <= factors.min() < 0.52
    assert 1.48 < factors.max() <= 1.5 + 1e-5


def test_gamma_is_a_power_between_black_and_white_and_an_offset_beyond():
    line = np.asarray([-1.5, -1, -0.98, -0.5, 0, 0.7, 1, 1.25], np.float32)
    images = jnp.asarray(np.broadcast_to(line[None, :, None, None], (512, 8, 1, 1)))
    results = _changed('gamma', images)[:, :, 0, 0]
    exponents = np.log((results[:, 4] + 1) / 2) / np.log(0.5)
    within = (line[2:6] + 1) / 2
    np.testing.assert_allclose(results[:, 2:6], 2 * within ** exponents[:, None] - 1, atol=1e-4)
    np.testing.assert_allclose(results[:, [0, 1, 6, 7]], np.broadcast_to(line[[0, 1, 6, 7]], (512, 4)), atol=1e-6)
    assert 0.17 < np.log(exponents).std() < 0.23
    assert abs(np.log(exponents).mean()) < 0.04


def test_noise_has_a_strength_of_its_own_in_each_image():
    images = _images(512, 16, 16)
    noise = _changed('noise', images) - np.asarray(images)
    strengths = noise.std((1, 2, 3))
    np.testing.assert_allclose(np.sqrt(np.square(strengths).mean()), 0.1, rtol=0.15)
    np.testing.assert_allclose(strengths.mean(), 0.1 * np.sqrt(2 / np.pi), rtol=0.15)
    whitened = noise / strengths[:, None, None, None]
    assert abs(whitened.mean()) < 4 / np.sqrt(noise.size)
    assert abs((whitened[:, 1:] * whitened[:, :-1]).mean()) < 4 / np.sqrt(noise.size)


def test_cutout_covers_a_square_of_half_the_size_with_grey_and_background():
    results = np.asarray(run(Augmentation(('cutout',), 1), jnp.full((512, 16, 12, 2), 0.5), KEY, 1.0))
    covered = results[..., 0] == 0
    np.testing.assert_array_equal(results[..., 0], np.where(covered, 0, 0.5))
    np.testing.assert_array_equal(results[..., 1], np.where(covered, -1, 0.5))
    rows, columns = covered.any(2), covered.any(1)
    np.testing.assert_array_equal(covered, rows[:, :, None] & columns[:, None, :])
    for stretch, full in ((rows, 8), (columns, 6)):
        # One run of pixels, shorter than half of the image only where it meets an edge.
        assert (np.abs(np.diff(np.pad(stretch, ((0, 0), (1, 1))).astype(int), axis=1)).sum(1) == 2).all()
        lengths = stretch.sum(1)
        assert lengths.max() == full
        assert (stretch[:, 0] | stretch[:, -1] | (lengths == full)).all()
        # Either end is covered as often as the other.
        ends = stretch[:, 0].sum(), stretch[:, -1].sum()
        assert abs(ends[0] - ends[1]) < 4 * np.sqrt(sum(ends))


@pytest.mark.parametrize('name', ['brightness', 'contrast', 'noise'])
def test_the_mean_over_many_draws_is_the_image(name):
    image = _images(1, 4, 4)
    results = _changed(name, jnp.broadcast_to(image, (4096, 4, 4, 1)))
    errors = 4 * results.std(0) / np.sqrt(4096)
    assert (np.abs(results.mean(0) - np.asarray(image)[0]) < errors + 1e-5).all()


@pytest.mark.parametrize('value', [-1.5, -1.0, 0.0, 1.0, 1.5])
@pytest.mark.parametrize('operations', [*[(name,) for name in sorted(OPERATIONS)], tuple(sorted(OPERATIONS))])
def test_gradients_reach_the_images_at_extremes(operations, value):
    def total(images):
        return run(Augmentation(operations, 1), images, KEY, 1.0).sum()

    gradients = np.asarray(jax.grad(total)(jnp.full((4, HEIGHT, WIDTH, 2), value)))
    assert np.isfinite(gradients).all()
    assert (np.abs(gradients) > 0).any((1, 2)).all()  # of each image and mask
    if operations == ('gamma',):
        assert (gradients > 0).all()


def test_gradient_is_the_slope_of_the_function():
    """Along a random direction, by differences; all but gamma are linear in the images."""
    operations = tuple(sorted(OPERATIONS))
    weights, direction = _images(3, 8, 8, 2), _images(3, 8, 8, 2)[::-1] * 0.1
    images = _images(3, 8, 8, 2)[:, ::-1] * 0.9

    def score(amount):
        return (weights * run(Augmentation(operations, 1), images + amount * direction, KEY, 0.8)).sum()

    slope = (score(0.01) - score(-0.01)) / 0.02
    np.testing.assert_allclose(jax.grad(score)(0.0), slope, rtol=2e-2)


def test_scan_and_vmap_give_what_single_calls_give():
    images, keys = _images(3, 8, 8), jax.random.split(KEY, 2)
    call = functools.partial(augment, Augmentation(tuple(OPERATIONS), 0), images, probability=0.7)
    single = jnp.stack([call(key) for key in keys])
    _, scanned = jax.lax.scan(lambda carry, key: (carry, call(key)), None, keys)
    np.testing.assert_allclose(scanned, single, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(call)(keys), single, atol=1e-5)
    assert bool((single[0] != single[1]).any())


@pytest.mark.parametrize('operations', [('mirror',), ('flip', 'noise', 'flip')])
def test_wrong_names_are_refused(operations):
    with pytest.raises(ValueError, match=r'brightness, contrast, cutout, flip, gamma, noise, rotation'):
        Augmentation(operations, 0)


def test_a_negative_number_of_masks_is_refused():
    with pytest.raises(ValueError, match='mask_classes is -1'):
        Augmentation((), -1)
