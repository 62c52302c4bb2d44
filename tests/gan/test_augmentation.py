"""Augmentation seen from outside: what happened is read off the images, then done again by SciPy and NumPy.

All tests share one shape, since compiling is what takes time: two channels of a picture and one mask.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from gan.augmentation import GEOMETRY, INTENSITY, OPERATIONS, DiscriminatorAugmentation, augment

COUNT, HEIGHT, WIDTH = 128, 16, 24
KEY = jax.random.key(7)
SINGLE = [(name,) for name in sorted(OPERATIONS)]
ALL, ALL_GEOMETRY = tuple(sorted(OPERATIONS)), tuple(sorted(GEOMETRY))
WEIGHTS = np.random.default_rng(1).uniform(0.5, 1.5, (COUNT, HEIGHT, WIDTH, 3)).astype(np.float32)


@functools.partial(jax.jit, static_argnums=0)
def _compiled(augmentation, images, key, probability):
    results, pull_back = jax.vjp(lambda values: augment(augmentation, values, key, probability), images)
    return results, pull_back(jnp.asarray(WEIGHTS, images.dtype))[0]


def _run(operations, images, key=KEY, probability=1.0):
    """What becomes of the images, and the gradient of its sum weighted by WEIGHTS."""
    results, gradients = _compiled(
        DiscriminatorAugmentation(operations, 1), jnp.asarray(images), key, jnp.float32(probability)
    )
    return np.asarray(results), np.asarray(gradients)


def _images():
    return np.random.default_rng(0).uniform(-1.5, 1.5, (COUNT, HEIGHT, WIDTH, 3)).astype(np.float32)


@functools.cache
def _moved(*operations):
    """Pictures and what became of them, and the affine map (2, 3) from each pixel to its source.

    Ramps of the column and of the row (this one the mask) tell where each pixel came from: interpolation is exact
    on them.
    """
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    images = _images()
    images[..., 1], images[..., 2] = columns, rows
    results, _ = _run(operations, images)
    middle = np.asarray([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    points = np.stack([columns - middle[0], rows - middle[1], np.ones_like(rows)], -1)
    maps = []
    for sources in results[..., 1:]:
        # Where the edge goes on, a ramp is flat and tells nothing.
        inside = ((sources > 0) & (sources < [WIDTH - 1, HEIGHT - 1])).all(-1)
        maps.append(np.linalg.lstsq(points[inside], sources[inside] - middle, rcond=None)[0].T)
    return images[..., 0], results[..., 0], np.asarray(maps)


def _resample(picture, source_map):
    """SciPy's bilinear interpolation; it counts from the first pixel, rows first."""
    linear, shift = source_map[::-1, 1::-1], source_map[::-1, 2]
    middle = (np.asarray(picture.shape) - 1) / 2
    return scipy.ndimage.affine_transform(
        picture.astype(np.float64), linear, shift + middle - linear @ middle, order=1, mode='nearest'
    )


@pytest.mark.parametrize('operations', [*[(name,) for name in ALL_GEOMETRY], ALL_GEOMETRY])
def test_geometry_is_one_resampling_by_an_affine_map(operations):
    pictures, results, maps = _moved(*operations)
    for picture, result, source_map in zip(pictures, results, maps, strict=True):
        np.testing.assert_allclose(result, _resample(picture, source_map), atol=1e-3)
    assert (results != pictures).any((1, 2)).mean() > 0.4


def test_flip_mirrors_half_of_the_images_and_no_more():
    pictures, results, _ = _moved('flip')
    mirrored = (results == pictures[:, :, ::-1]).all((1, 2))
    np.testing.assert_array_equal(results[~mirrored], pictures[~mirrored])
    assert abs(mirrored.sum() - COUNT / 2) < 4 * np.sqrt(COUNT / 4)


def test_translation_is_by_whole_pixels_up_to_an_eighth():
    _, _, maps = _moved('translation')
    np.testing.assert_allclose(maps[:, :, :2], np.broadcast_to(np.eye(2), (COUNT, 2, 2)), atol=1e-5)
    np.testing.assert_allclose(maps[:, :, 2], np.rint(maps[:, :, 2]), atol=1e-4)
    columns, rows = np.rint(maps[:, :, 2]).astype(int).T
    for shifts, limit in ((columns, 3), (rows, 2)):
        values, counts = np.unique(shifts, return_counts=True)
        np.testing.assert_array_equal(values, np.arange(-limit, limit + 1))
        assert (np.abs(counts - COUNT / len(values)) < 4 * np.sqrt(COUNT / len(values))).all()
    assert abs(np.corrcoef(columns, rows)[0, 1]) < 4 / np.sqrt(COUNT)


def test_rotation_is_about_the_middle_up_to_ten_degrees_either_way():
    _, _, maps = _moved('rotation')
    angles = np.arctan2(maps[:, 1, 0], maps[:, 0, 0])
    expected = np.stack([np.cos(angles), -np.sin(angles), 0 * angles, np.sin(angles), np.cos(angles), 0 * angles])
    np.testing.assert_allclose(maps.reshape(-1, 6), expected.T, atol=1e-4)
    assert -10 <= np.degrees(angles.min()) < -9
    assert 9 < np.degrees(angles.max()) <= 10


def test_scaling_is_alike_in_both_directions():
    _, _, maps = _moved('scaling')
    factors = maps[:, 0, 0]
    expected = np.stack([factors, 0 * factors, 0 * factors, 0 * factors, factors, 0 * factors])
    np.testing.assert_allclose(maps.reshape(-1, 6), expected.T, atol=1e-4)
    _is_normal(np.log2(factors), 0.1)


def _is_normal(values, deviation):
    """Mean, deviation and kurtosis, each within four of its own standard deviations."""
    scaled, spread = values / deviation, 4 / np.sqrt(len(values))
    assert abs(scaled.mean()) < spread
    assert abs(scaled.std() - 1) < spread / np.sqrt(2)
    assert abs((scaled**4).mean() - 3) < spread * np.sqrt(96)


def test_geometry_keeps_its_draws_beside_other_operations_and_is_applied_in_order():
    """Flipped, scaled, turned, shifted: the source of a pixel is found by going back."""
    full = np.broadcast_to(np.eye(3), (COUNT, 3, 3))
    last = np.broadcast_to([0.0, 0.0, 1.0], (COUNT, 1, 3))
    for name in ('flip', 'scaling', 'rotation', 'translation'):
        full = full @ np.concatenate([_moved(name)[2], last], axis=1)
    np.testing.assert_allclose(_moved(*ALL_GEOMETRY)[2], full[:, :2], atol=1e-3)


def test_geometry_is_the_same_without_masks():
    pictures, results, _ = _moved(*ALL_GEOMETRY)
    alone = jax.jit(augment, static_argnums=0)(
        DiscriminatorAugmentation(ALL_GEOMETRY, 0), jnp.asarray(pictures)[..., None], KEY, 1.0
    )
    np.testing.assert_allclose(alone[..., 0], results, atol=1e-5)


def test_masks_move_with_their_images():
    images = _images()
    images[..., 1:] = np.where(images[..., :1] > 0, 1, -1)  # the foreground, and a mask of it
    results, _ = _run(ALL_GEOMETRY, images)
    np.testing.assert_array_equal(results[..., 1], results[..., 2])
    assert (results != images).any((1, 2, 3)).all()
    assert results[..., 2].min() == -1
    assert results[..., 2].max() == 1


@pytest.mark.parametrize('operations', [*SINGLE, ALL])
def test_probability_0_changes_no_bit(operations):
    images = _images()
    images[:, 0, 0] = -0.0
    results, gradients = _run(operations, images, probability=0.0)
    np.testing.assert_array_equal(results.view(np.uint32), images.view(np.uint32))
    np.testing.assert_array_equal(gradients, WEIGHTS)


def test_bfloat16_stays_and_is_computed_in_float32():
    images = jnp.asarray(_images(), jnp.bfloat16)
    operations = ('gamma', 'rotation')
    same, _ = _run(operations, images, probability=0.0)
    assert same.dtype == jnp.bfloat16
    np.testing.assert_array_equal(same.view(np.uint16), np.asarray(images).view(np.uint16))
    changed, _ = _run(operations, images)
    exact, _ = _run(operations, images.astype(jnp.float32))
    np.testing.assert_allclose(changed.astype(np.float32), exact, rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize('operations', [*SINGLE, ALL_GEOMETRY])
def test_probability_is_that_of_each_image_and_operation(operations):
    images = _images()
    runs = [_run(operations, images, jax.random.key(seed), 0.3)[0] for seed in range(4)]
    changed = np.mean([(results != images).any((1, 2, 3)) for results in runs])
    # Half of the flips, and one in 7 x 5 shifts, leave an image as it is.
    shares = {'flip': 0.15, 'translation': 0.3 * 34 / 35}
    expected = 1 - np.prod([1 - shares.get(name, 0.3) for name in operations])
    assert abs(changed - expected) < 4 * np.sqrt(expected * (1 - expected) / (4 * COUNT))


@pytest.mark.parametrize('name', sorted(OPERATIONS))
def test_each_image_has_its_own_draws(name):
    images = np.broadcast_to(_images()[:1], (COUNT, HEIGHT, WIDTH, 3))
    results, _ = _run((name,), images)
    distinct = len(np.unique(results.reshape(COUNT, -1), axis=0))
    # Two flips, 7 x 5 shifts, 17 x 25 places of the square; of anything else there is no end.
    assert distinct >= {'flip': 2, 'translation': 28, 'cutout': 90}.get(name, COUNT)
    other, _ = _run((name,), images, jax.random.key(8))
    assert (other != results).any((1, 2, 3)).mean() > 0.4


@pytest.mark.parametrize('name', sorted(INTENSITY))
def test_intensity_leaves_masks_and_does_not_look_at_them(name):
    images = _images()
    results, _ = _run((name,), images)
    np.testing.assert_array_equal(results[..., 2], images[..., 2])
    assert (results[..., :2] != images[..., :2]).any((1, 2, 3)).all()
    images[..., 2] = 1
    np.testing.assert_array_equal(_run((name,), images)[0][..., :2], results[..., :2])


def _pictures(name):
    """The channels of the picture before and after."""
    images = _images()
    images[:, 0, :4, 0] = 0, -1, 1, -0.995
    return images[..., :2].astype(np.float64), _run((name,), images)[0][..., :2].astype(np.float64)


def test_brightness_is_one_offset_an_image():
    before, after = _pictures('brightness')
    offsets = after - before
    np.testing.assert_allclose(offsets, np.broadcast_to(offsets[:, :1, :1, :1], offsets.shape), atol=1e-6)
    assert -0.5 <= offsets.min() < -0.45
    assert 0.45 < offsets.max() <= 0.5
    assert abs(offsets[:, 0, 0, 0].mean()) < 4 * 0.5 / np.sqrt(3 * COUNT)


def test_contrast_stretches_about_the_mean_of_the_image():
    before, after = _pictures('contrast')
    mean = before.mean((1, 2, 3), keepdims=True)
    factors = after.std((1, 2, 3), keepdims=True) / before.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(after, mean + factors * (before - mean), atol=1e-5)
    assert 0.5 - 1e-5 <= factors.min() < 0.55
    assert 1.45 < factors.max() <= 1.5 + 1e-5
    assert abs(factors.mean() - 1) < 4 * 0.5 / np.sqrt(3 * COUNT)


def test_gamma_is_a_power_between_black_and_white_and_nothing_beyond():
    before, after = _pictures('gamma')
    exponents = np.log((after[:, :1, :1, :1] + 1) / 2) / np.log(0.5)  # that pixel is 0, half way
    powers = 2 * np.clip((before + 1) / 2, 0, 1) ** exponents - 1
    curved, beyond = np.abs(before) < 0.98, np.abs(before) >= 1
    np.testing.assert_allclose(after[curved], powers[curved], atol=1e-5)
    np.testing.assert_allclose(after[beyond], before[beyond], atol=1e-6)
    # Near black a straight line of the same slope as to the point where it ends, 0.01 of the way to white.
    np.testing.assert_allclose(after[:, 0, 3, 0], 0.5 * 0.01 ** exponents[:, 0, 0, 0] - 1, atol=1e-5)
    _is_normal(np.log(exponents.ravel()), 0.2)


def test_noise_has_a_strength_of_its_own_in_each_image():
    before, after = _pictures('noise')
    noise = after - before
    strengths = noise.std((1, 2, 3))
    np.testing.assert_allclose(np.sqrt(np.square(strengths).mean()), 0.1, rtol=0.2)
    np.testing.assert_allclose(strengths.mean(), 0.1 * np.sqrt(2 / np.pi), rtol=0.2)
    white = noise / strengths[:, None, None, None]
    for product in (white, white[:, 1:] * white[:, :-1], white[1:] * white[:-1], white[..., 0] * white[..., 1]):
        assert abs(product.mean()) < 4 / np.sqrt(product.size)


def test_cutout_covers_a_square_of_half_the_size_with_grey_and_background():
    images = np.full((COUNT, HEIGHT, WIDTH, 3), 0.5, np.float32)
    results, gradients = _run(('cutout',), images)
    covered = results[..., 0] == 0
    np.testing.assert_array_equal(results, np.where(covered[..., None], [0, 0, -1], 0.5))
    np.testing.assert_array_equal(gradients, np.where(covered[..., None], 0, WEIGHTS))
    rows, columns = covered.any(2), covered.any(1)
    np.testing.assert_array_equal(covered, rows[:, :, None] & columns[:, None, :])
    for stretch, full in ((rows, 8), (columns, 12)):
        # One run of pixels, shorter than half of the image only where it meets an edge.
        assert (np.abs(np.diff(np.pad(stretch, ((0, 0), (1, 1))).astype(int), axis=1)).sum(1) == 2).all()
        lengths = stretch.sum(1)
        assert (lengths.min(), lengths.max()) == (full / 2, full)
        assert (stretch[:, 0] | stretch[:, -1] | (lengths == full)).all()
        ends = stretch[:, 0].sum(), stretch[:, -1].sum()
        assert abs(ends[0] - ends[1]) < 4 * np.sqrt(sum(ends))


@pytest.mark.parametrize('name', ['brightness', 'contrast', 'noise'])
def test_the_mean_over_many_draws_is_the_image(name):
    image = _images()[:1]
    results, _ = _run((name,), np.broadcast_to(image, WEIGHTS.shape))
    assert (np.abs(results.mean(0) - image[0]) < 5 * results.std(0) / np.sqrt(COUNT) + 1e-5).all()


@pytest.mark.parametrize('operations', [*SINGLE, ALL])
def test_gradients_reach_every_image_and_mask_at_extremes(operations):
    for value in (-1.5, -1.0, 0.0, 1.0, 1.5):
        _, gradients = _run(operations, np.full(WEIGHTS.shape, value, np.float32))
        assert np.isfinite(gradients).all()
        assert (gradients != 0).any((1, 2)).all()
        if operations in (('gamma',), ('brightness',), ('noise',)):
            assert (gradients > 0).all()


@pytest.mark.parametrize('operations', [*SINGLE, ALL])
def test_gradient_is_the_slope_of_the_function(operations):
    """Along a random direction, by differences."""
    images, direction = 0.6 * _images(), 0.01 * _images()[::-1]
    up, down = (_run(operations, images + sign * direction, probability=0.8)[0] for sign in (1, -1))
    slope = (WEIGHTS * (up.astype(np.float64) - down) / 2).sum((1, 2, 3))
    _, gradients = _run(operations, images, probability=0.8)
    np.testing.assert_allclose((gradients * direction).sum((1, 2, 3)), slope, atol=0.02 * np.abs(slope).max())


def test_scan_and_vmap_give_what_single_calls_give():
    operations, images, keys = ('rotation',), jnp.asarray(_images()), jax.random.split(KEY, (2, 2))

    @jax.jit
    def scan(keys):
        call = jax.vmap(lambda key: augment(DiscriminatorAugmentation(operations, 1), images, key, 0.7))
        return jax.lax.scan(lambda carry, pair: (carry, call(pair)), None, keys)[1]

    single = np.stack([_run(operations, images, key, 0.7)[0] for key in keys.ravel()])
    np.testing.assert_allclose(scan(keys).reshape(single.shape), single, atol=1e-5)
    assert (single[0] != single[1]).any()


@pytest.mark.parametrize('operations', [('mirror',), ('flip', 'noise', 'flip')])
def test_wrong_names_are_refused(operations):
    with pytest.raises(ValueError, match=r'brightness, contrast, cutout, flip, gamma, noise, rotation'):
        DiscriminatorAugmentation(operations, 0)


def test_a_negative_number_of_masks_is_refused():
    with pytest.raises(ValueError, match='mask_classes is -1'):
        DiscriminatorAugmentation((), -1)
