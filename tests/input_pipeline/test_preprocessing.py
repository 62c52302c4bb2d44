"""Windows, fits and value ranges, against hand-made expectations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline import from_unit, join_masks, split_masks, to_physical, to_unit, unpack
from input_pipeline.decode import halve
from input_pipeline.errors import DataError
from input_pipeline.intensities import mask_channels, sloping_mask_channels
from input_pipeline.placement import fit_mask
from input_pipeline.preprocessing import (
    Preprocessing,
    apply_window,
    convert_channels,
    preprocess_image,
    resolve_window,
)
from tests.input_pipeline.items import random_images

UNKNOWN = (0.0, 0.0)


def _preprocessing(**changes):
    return Preprocessing(
        **(
            {'resolution': 8, 'channels': 1, 'window': 'stored', 'fit': 'pad', 'mask_classes': 0, 'context': 0}
            | changes
        )
    )


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_every_stored_value_survives_the_unit_range(dtype):
    values = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    unit = to_unit(values)
    assert (unit[0], unit[-1]) == (-1, 1)
    np.testing.assert_allclose(unit, 2 * values.astype(float) / np.iinfo(dtype).max - 1, atol=1e-7)
    np.testing.assert_array_equal(from_unit(unit, dtype), values)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_unit_range_is_the_same_bits_under_jit(dtype):
    values = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    np.testing.assert_array_equal(to_unit(values), jax.jit(to_unit)(jnp.asarray(values)))
    back = jax.jit(lambda unit: from_unit(unit, dtype))(jnp.asarray(to_unit(values)))
    np.testing.assert_array_equal(back, values)


def test_values_outside_are_clipped():
    np.testing.assert_array_equal(from_unit(np.array([-3.0, 3.0], np.float32), np.uint8), [0, 255])


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_same_size_in_the_stored_window_is_exact(dtype):
    image = random_images(1, (8, 8, 1), dtype)[0]
    for intensity in ((0.0, 255.0), (-1024.0, 3071.0), (3071.0, -1024.0)):
        result = preprocess_image(image, intensity, intensity, _preprocessing(), UNKNOWN)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_windows_map_to_physical_values_and_back(dtype):
    image = random_images(1, (8, 8, 1), dtype)[0]
    intensity, window = (-1024.0, 3071.0), (-160.0, 240.0)
    result = preprocess_image(image, intensity, window, _preprocessing(window=window), UNKNOWN)
    assert result.dtype == np.uint16
    physical = -1024 + 4095 * image.astype(float) / np.iinfo(dtype).max
    np.testing.assert_allclose(
        to_physical(to_unit(result), *window), np.clip(physical, *window), atol=0.51 * 400 / 65535 + 1e-3
    )


def test_float_images_use_their_physical_values():
    image = np.array([[-50.0, 0.0, 25.0, 100.0, 400.0]], np.float32)[..., None]
    unit = apply_window(image, (0.0, 1.0), (0.0, 100.0))
    np.testing.assert_allclose(unit[0, :, 0], [0, 0, 0.25, 1, 1], atol=1e-7)


def test_inverted_images_keep_their_look():
    """Stored 0 is black and means 100; 255 is white and means 0 (MONOCHROME1)."""
    image = np.array([[[0], [255]]], np.uint8)
    preprocessing = _preprocessing(window=(25.0, 75.0))
    window = resolve_window(preprocessing, (100.0, 0.0), (90.0, 10.0), (20.0, 80.0))
    assert window == (75.0, 25.0)
    np.testing.assert_array_equal(apply_window(image, (100.0, 0.0), window)[0, :, 0], [0, 1])


@pytest.mark.parametrize(
    ('window', 'expected'),
    [('stored', (0.0, 255.0)), ('volume', (3.0, 9.0)), ('dataset', (1.0, 99.0)), ((5.0, 6.0), (5.0, 6.0))],
)
def test_window_kinds(window, expected):
    assert resolve_window(_preprocessing(window=window), (0.0, 255.0), (3.0, 9.0), (1.0, 99.0)) == expected


def test_constant_volume_becomes_dark():
    assert not apply_window(np.full((2, 2, 1), 9, np.uint8), (0.0, 255.0), (9.0, 9.0)).any()


def test_pad_keeps_the_aspect_ratio_and_pads_with_the_lowest():
    image = np.full((4, 8, 1), 200, np.uint8)
    result = preprocess_image(image, (0.0, 255.0), (0.0, 255.0), _preprocessing(), UNKNOWN)
    np.testing.assert_array_equal(result[2:6], np.full((4, 8, 1), 200))
    assert not result[:2].any()
    assert not result[6:].any()
    mask = fit_mask(np.full((8, 4, 1), 3, np.uint8), 8, 'pad')
    np.testing.assert_array_equal(np.unique(mask[:, 2:6]), [3])
    assert not mask[:, :2].any()
    assert not mask[:, 6:].any()


def test_luminance_and_repetition():
    colour = np.array([[[10, 20, 30]]], np.uint8)
    np.testing.assert_array_equal(convert_channels(colour, 1), [[[round(0.299 * 10 + 0.587 * 20 + 0.114 * 30)]]])
    np.testing.assert_array_equal(convert_channels(colour[..., :1], 3), [[[10, 10, 10]]])
    with pytest.raises(DataError, match='4 channels cannot become 3'):
        convert_channels(np.zeros((2, 2, 4), np.uint8), 3)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'fit': 'stretch'}, "fit='stretch' is not one of pad, crop, resize"),
        ({'window': 'lung'}, "window='lung' is not one of"),
        ({'window': (4.0, 4.0)}, 'lower end'),
        ({'resolution': 0}, 'at least 1'),
        ({'mask_classes': -1}, '0 to 255'),
    ],
)
def test_meaningless_options_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        _preprocessing(**change)


@pytest.mark.parametrize('namespace', [np, jnp])
def test_masks_join_and_split(namespace):
    ids = namespace.asarray(np.random.default_rng(0).integers(0, 4, (2, 5, 5, 1)).astype(np.uint8))
    image = namespace.asarray(np.random.default_rng(1).uniform(-1, 1, (2, 5, 5, 2)).astype(np.float32))
    joined = join_masks(image, ids, 3)
    assert joined.shape == (2, 5, 5, 5)
    np.testing.assert_array_equal(joined[..., 3], np.where(ids[..., 0] == 2, 1, -1))
    split_image, split_ids = split_masks(joined, 2, 3)
    np.testing.assert_array_equal(split_image, image)
    np.testing.assert_array_equal(split_ids, ids)
    assert split_ids.dtype == np.uint8


def test_uncertain_masks_become_background_or_the_strongest_class():
    output = np.array([[0.3, -0.1, -0.2], [0.3, 0.2, 0.9], [0.3, 0.0, -1.0]], np.float32)
    np.testing.assert_array_equal(split_masks(output, 1, 2)[1][:, 0], [0, 2, 0])
    with pytest.raises(ValueError, match='3 channels'):
        split_masks(output, 2, 2)


def test_sloping_masks_are_distances_to_the_contour():
    ids = np.zeros((16, 16, 1), np.uint8)
    ids[4:12] = 1  # a band: distances are along the rows
    ids[:, :2] = 2
    (first, second) = np.moveaxis(sloping_mask_channels(ids, 2, 4.0), -1, 0)
    expected = 127.5 + 127.5 * np.clip((np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 3.5]) / 4), -1, 1)
    np.testing.assert_allclose(first[1:9, 10], np.rint(expected))
    np.testing.assert_array_equal(first[1:9, 10], first[14:6:-1, 10])
    np.testing.assert_allclose(second[8, :8], np.rint(127.5 + 127.5 * np.clip((1.5 - np.arange(8)) / 4, -1, 1)))


@pytest.mark.parametrize('slope', [0.5, 2.0, 8.0])
def test_sloping_masks_have_the_contour_of_hard_ones(slope):
    ids = (
        np.random.default_rng(0).integers(3, size=(16, 16, 1)) * (np.indices((16, 16))[0] > 4)[..., None]
    ).astype(np.uint8)
    hard, soft = mask_channels(ids, 2), sloping_mask_channels(ids, 2, slope)
    np.testing.assert_array_equal(soft > 127.5, hard > 127.5)
    image = np.zeros((1, 16, 16, 1), np.float32)
    joined = np.concatenate([image, to_unit(soft[None])], axis=-1)
    np.testing.assert_array_equal(split_masks(joined, 1, 2)[1][0], ids)
    empty = sloping_mask_channels(np.zeros((4, 4, 1), np.uint8), 2, slope)
    full = sloping_mask_channels(np.ones((4, 4, 1), np.uint8), 2, slope)
    assert (empty.max(), full[..., 0].min(), full[..., 1].max()) == (0, 255, 0)


def test_without_mask_channels_all_is_background():
    image, ids = split_masks(np.ones((2, 3, 1), np.float32), 1, 0)
    assert image.shape == ids.shape == (2, 3, 1)
    assert not ids.any()


def test_unpack_flips_joins_and_equals_the_device():
    rows = {
        'image': np.stack(random_images(4, (4, 4, 1), np.uint16)),
        'mask': np.stack(random_images(4, (4, 4, 2), np.uint8)),
        'label': np.arange(4, dtype=np.int32),
        'flip_horizontal': np.array([False, True, False, True]),
        'flip_vertical': np.array([False, False, True, True]),
    }
    batch = unpack(rows)
    assert batch['image'].dtype == np.float32
    plain = np.concatenate([to_unit(rows['image']), to_unit(rows['mask'])], axis=-1)
    expected = [plain[0], plain[1][:, ::-1], plain[2][::-1], plain[3][::-1, ::-1]]
    np.testing.assert_array_equal(batch['image'], np.stack(expected))
    on_device = jax.jit(unpack)(jax.tree.map(jnp.asarray, rows))
    np.testing.assert_array_equal(on_device['image'], batch['image'])
    np.testing.assert_array_equal(on_device['label'], batch['label'])


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_halving_rounds_the_mean_to_even(dtype):
    images = np.stack(random_images(300, (4, 6, 2), dtype))
    mean = images.astype(float).reshape(300, 2, 2, 3, 2, 2).mean((2, 4))
    np.testing.assert_array_equal(halve(images), np.rint(mean).astype(dtype))
