"""Sheets of tiles: patches lie where something is, at pixels as they are, and are found again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from detect.sheets import PatchSheet, find_hottest, join_tiles, shrink, split_tiles
from input_pipeline.errors import DataError

SHEET = PatchSheet(16, 8)


def _picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 1), np.uint8)


@pytest.mark.parametrize('shape', [(16, 16), (48, 48), (16, 200), (33, 70), (300, 400)])
@pytest.mark.parametrize('chance', [None, 3])
def test_tiles_are_pixels_as_they_are_and_an_overview(shape, chance):
    picture = _picture(*shape)
    places = SHEET.choose(picture, None if chance is None else np.random.default_rng(chance))
    sheet = SHEET.create(picture, places)
    assert (sheet.shape, places.shape) == ((48, 48, 1), (8, 2))
    tiles = split_tiles(sheet[None], 16)
    for tile, (row, column) in zip(tiles[1:], places, strict=True):
        np.testing.assert_array_equal(tile, picture[row : row + 16, column : column + 16])
    np.testing.assert_array_equal(tiles[0], shrink(picture, 16))


def test_an_overview_is_of_means_and_keeps_the_shape():
    picture = _picture(64, 32)
    means = picture.reshape(16, 4, 8, 4).mean(axis=(1, 3))
    overview = shrink(picture, 16)[..., 0]
    np.testing.assert_allclose(overview[:, 4:12], means, atol=0.51)
    assert not overview[:, :4].any()
    assert not overview[:, 12:].any()
    np.testing.assert_array_equal(shrink(picture, 64)[:, 16:48], picture)  # none is enlarged


def test_patches_lie_where_the_picture_is_not_even():
    picture = np.full((160, 160, 1), 90, np.uint8)
    picture[100:150, 20:90] = _picture(50, 70)
    for random in (None, *map(np.random.default_rng, range(3))):
        places = SHEET.choose(picture, random)
        rows, columns = places.T
        assert ((rows > 100 - 32) & (rows < 150) & (columns > 20 - 32) & (columns < 90)).all()


def test_the_fixed_rule_spreads_patches_evenly_and_chance_is_decided_by_its_seed():
    picture = _picture(160, 160)
    fixed = SHEET.choose(picture, None)
    np.testing.assert_array_equal(fixed, SHEET.choose(picture, None))
    assert len(np.unique(fixed, axis=0)) == 8
    assert np.ptp(fixed[:, 0]) > 100
    drawn = [SHEET.choose(picture, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_an_even_picture_has_patches_too():
    assert SHEET.choose(np.zeros((40, 40, 1), np.uint8), None).shape == (8, 2)


def test_a_picture_smaller_than_a_patch_is_refused():
    with pytest.raises(DataError, match='an image of 15 x 40 pixels is smaller than a patch of 16'):
        SHEET.choose(_picture(15, 40), None)


def test_masks_go_with_their_pictures():
    picture = _picture(64, 64)
    mask = (picture > 128).astype(np.uint8)
    places = SHEET.choose(picture, None)
    marked = split_tiles(SHEET.create_mask(mask, places)[None], 16)
    shown = split_tiles(SHEET.create(picture, places)[None], 16)
    np.testing.assert_array_equal(marked[1:] == 1, shown[1:] > 128)


def test_tiles_are_joined_as_they_were_split():
    sheets = jax.random.normal(jax.random.key(0), (2, 48, 48, 3))
    np.testing.assert_array_equal(join_tiles(split_tiles(sheets, 16), 3), sheets)
    # Maps of tiles, of another size, lie as the tiles do.
    means = split_tiles(sheets, 16).reshape(-1, 4, 4, 4, 4, 3).mean(axis=(2, 4))
    expected = sheets.reshape(2, 12, 4, 12, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(join_tiles(means, 3), expected, atol=1e-6)


@pytest.mark.parametrize('shape', [(64, 64), (128, 64)])
def test_heat_of_a_patch_is_where_the_patch_was(shape):
    picture = _picture(*shape)
    places = SHEET.choose(picture, None)
    for number in (0, 5):
        heat = jnp.zeros((9, 16, 16, 1)).at[number + 1].set(1.0)
        spread = SHEET.spread(np.asarray(join_tiles(heat, 3))[0, ..., 0], places, shape, 64)
        factor = 64 / shape[0]
        row, column = (places[number] * factor + (0, (64 - shape[1] * factor) / 2)).astype(int)
        size = int(16 * factor)
        expected = np.zeros((64, 64))
        expected[row : row + size, column : column + size] = 1
        np.testing.assert_array_equal(spread, expected)


@pytest.mark.parametrize(('shape', 'side'), [((64, 64), 64), ((40, 64), 64), ((20, 30), 64), ((128, 96), 64)])
def test_the_hottest_pixel_of_what_was_shrunk(shape, side):
    picture = np.zeros((*shape, 1), np.float32)
    picture[12:16, 24:28] = 1.0
    row, column = find_hottest(shrink(picture, side)[..., 0], shape)
    assert 12 <= row < 16
    assert 24 <= column < 28


def test_a_sheet_is_square():
    with pytest.raises(ValueError, match='7 patches and an overview fill no square'):
        PatchSheet(16, 7)
