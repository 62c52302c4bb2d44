"""Volumes of a data set: the grid of their slices, and the patches that are cut of them."""

import itertools

import numpy as np
import pytest

import input_pipeline
from input_pipeline import OUTSIDE, DataError, DepthGrid, PatchShape, Preprocessing, mix_slices
from tests.input_pipeline.items import make_item, write

SHAPE = PatchShape(slices=4, side=8)


def _items():
    """Slices are told by their values: 10 times the volume, and one more a slice; a dot of class 2 in the last."""
    items = []
    for number, (count, distance) in enumerate([(9, 2.0), (2, 2.0), (5, 4.0)]):
        images = [np.full((10, 12, 1), 10 * number + place + 1, np.uint8) for place in range(count)]
        masks = [np.zeros((10, 12, 1), np.uint8) for _ in range(count)]
        masks[-1][3, 9] = 2
        key = f'v{number}'
        items.append(make_item(key, images, masks=masks, patient=key, split='train', spacing=(1.0, 1.0, distance)))
    return items


@pytest.fixture(scope='module')
def open_volumes(tmp_path_factory):
    """Returns `open(memory, distance)`."""
    folder = tmp_path_factory.mktemp('volumes')
    write(_items(), folder, 'stack')

    def run(memory=2**20, distance=-1.0, share=0.5, flips=False):
        wanted = Preprocessing(16, 1, 'stored', 'native', 2, 0)
        images = input_pipeline.open_dataset(
            'stack', folder, 'train', wanted, flip_horizontal=flips, flip_vertical=flips, seed=3,
            memory_budget_bytes=memory, modalities=(), classes=(), target='class', foreground_share=share,
        )  # fmt: skip
        return images.volumes(distance)

    return run


def _values(image):
    """The grey level of each slice, where the patch holds the image."""
    return np.rint((image + 1) * 127.5).max(axis=(1, 2, 3)).astype(int)


@pytest.mark.parametrize(
    ('stored', 'distance', 'wanted', 'count'), [(9, 2.0, 1.0, 18), (9, 2.0, 4.0, 4), (1, 5, 1, 5)]
)
def test_a_grid_covers_the_extent_and_keeps_a_line_straight(stored, distance, wanted, count):
    grid = DepthGrid.create(stored, distance, wanted)
    assert grid.count == count
    places = grid.places(0, count)
    exact = (np.arange(count) + 0.5) * stored / count - 0.5
    np.testing.assert_allclose(places, np.clip(exact, 0, stored - 1), rtol=1e-6)
    line = [np.array([3.0 * place + 1], np.float32) for place in range(stored)]
    mixed = np.concatenate(list(mix_slices(places, line.__getitem__)))
    np.testing.assert_allclose(mixed, 3 * places + 1, rtol=1e-6)
    back = np.concatenate(
        list(mix_slices(grid.places_of_stored(), [np.array([own]) for own in mixed].__getitem__))
    )
    inside = slice(1, -1)  # beyond the middle of the last slice there is nothing to go on with
    if count >= stored > 2:
        np.testing.assert_allclose(back[inside], np.concatenate(line)[inside], rtol=1e-5)


@pytest.mark.parametrize(('distance', 'wanted'), [(0.0, 1.0), (float('nan'), 1.0), (2.0, -1.0), (2.0, 2.01)])
def test_slices_stay_where_nothing_is_known_or_wanted(distance, wanted):
    grid = DepthGrid.create(7, distance, wanted)
    np.testing.assert_array_equal(grid.places(0, grid.count), np.arange(7))
    np.testing.assert_array_equal(grid.places_of_stored(), np.arange(7))


def test_a_wrong_distance_is_refused():
    with pytest.raises(DataError, match=r'2 slices 1e\+09 mm apart would be resampled to 2000000000 slices'):
        DepthGrid.create(2, 1e9, 1.0)


def test_slices_are_read_once_and_in_order():
    read = []

    def get(number):
        read.append(number)
        return np.array([number], np.float32)

    found = list(mix_slices(np.array([0, 0.25, 0.5, 1.5, 4], np.float32), get))
    np.testing.assert_allclose(np.concatenate(found), [0, 0.25, 0.5, 1.5, 4])
    assert read == [0, 1, 2, 4]


def test_patches_hold_neighbouring_slices_of_one_volume(open_volumes):
    volumes = open_volumes()
    seen = set()
    for position in range(60):
        patch = volumes.patch(SHAPE, position)
        assert patch['image'].shape == (4, 8, 8, 1)
        assert patch['ids'].shape == (4, 8, 8)
        real = ~(patch['ids'] == OUTSIDE).all(axis=(1, 2))
        assert real.sum() == min(4, {0: 9, 1: 2, 2: 5}[_values(patch['image']).max() // 10])
        values = _values(patch['image'][real])
        np.testing.assert_array_equal(np.diff(values), 1)
        assert len(set(values // 10)) == 1
        seen |= set(values)
    assert seen == {*range(1, 10), 11, 12, *range(21, 26)}  # every slice comes


def test_what_is_no_image_is_dark_and_of_no_class(open_volumes):
    """Images of 10x12 in a square of 16x16, and two slices where four are wanted."""
    volume = list(open_volumes().volumes())[1]
    assert (volume.count, volume.patient) == (2, 1)
    image, ids = volume.read(0)
    inside = np.zeros((16, 16), bool)
    inside[3:13, 2:14] = True
    np.testing.assert_array_equal(ids == OUTSIDE, ~inside)
    np.testing.assert_array_equal(image[..., 0] == -1, ~inside)
    patches = [open_volumes().patch(PatchShape(4, 16), position) for position in range(20)]
    short = [patch for patch in patches if _values(patch['image']).max() in (11, 12)]
    assert short
    for patch in short:
        assert (patch['ids'][2:] == OUTSIDE).all()
        assert (patch['image'][2:] == -1).all()


@pytest.mark.parametrize('share', [0.5, 1.0])
def test_a_share_of_the_patches_is_sure_to_hold_foreground(open_volumes, share):
    volumes = open_volumes(share=share)
    held = [(volumes.patch(PatchShape(2, 3), position)['ids'] == 2).any() for position in range(40)]
    favoured = np.floor(np.arange(1, 41) * share) > np.floor(np.arange(40) * share)
    assert np.array(held)[favoured].all()
    assert share == 1 or not np.array(held)[~favoured].all()


def test_patches_are_a_function_of_the_position_wherever_they_are_read_from(open_volumes):
    kept, streamed = open_volumes(), open_volumes(memory=0)
    batches = streamed.batches(SHAPE, 5, 4, process_index=1, process_count=2)
    first, second = itertools.islice(batches, 2)
    batches.close()
    for batch, positions in ((first, (7, 8)), (second, (11, 12))):
        for row, position in enumerate(positions):
            for name, own in kept.patch(SHAPE, position).items():
                np.testing.assert_array_equal(batch[name][row], own)
    with pytest.raises(DataError, match='a batch of 5 cannot be divided among 2 processes'):
        kept.batches(SHAPE, 0, 5, process_index=0, process_count=2)


def test_images_and_masks_are_mirrored_together(open_volumes):
    whole = PatchShape(1, 16)
    plain, mirrored = open_volumes(share=1.0), open_volumes(share=1.0, flips=True)
    columns = set()
    for position in range(30):
        expected, found = (volumes.patch(whole, position) for volumes in (plain, mirrored))
        ways = [
            axes
            for axes in ((), (1,), (2,), (1, 2))
            if np.array_equal(np.flip(expected['ids'], axes), found['ids'])
        ]
        assert ways
        np.testing.assert_array_equal(np.flip(expected['image'], ways[0]), found['image'])
        columns.add(ways[0])
    assert len(columns) == 4


def test_volumes_are_resampled_to_one_distance(open_volumes):
    """4 mm become 2 mm: slices between two are their mean, masks those of the nearest."""
    volumes = list(open_volumes(distance=2.0).volumes())
    assert [volume.count for volume in volumes] == [9, 2, 10]
    levels = [(volumes[2].read(place).image.max() + 1) * 127.5 for place in range(10)]
    np.testing.assert_allclose(levels, [21, 21.25, 21.75, 22.25, 22.75, 23.25, 23.75, 24.25, 24.75, 25], atol=1e-3)
    marked = [(volumes[2].read(place).ids == 2).any() for place in range(10)]
    assert marked == [False] * 8 + [True, True]
    patch = open_volumes(distance=2.0, share=1.0).patch(PatchShape(3, 8), 0)
    assert (patch['ids'] == 2).any()
