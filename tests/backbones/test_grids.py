"""Grids name their classes, each over its column where columns have one."""

import numpy as np
import pytest

from backbones.grids import TITLE_HEIGHT, title_classes


def _dark(picture, columns):
    """Whether something is written over each column."""
    strip = picture[:TITLE_HEIGHT].min(axis=-1) < 128
    return [bool(part.any()) for part in np.split(strip, columns, axis=1)]


@pytest.mark.parametrize('classes', [('a',), ('well', 'ill'), ('one', 'two', 'three')])
def test_every_column_has_the_name_of_its_class(classes):
    grid = np.zeros((64, 6 * 64, 3), np.uint8)
    titled = title_classes(grid, classes, 6)
    np.testing.assert_array_equal(titled[TITLE_HEIGHT:], grid)
    assert _dark(titled, 6) == [True] * 6
    cells = np.split(titled[:TITLE_HEIGHT], 6, axis=1)
    for column, cell in enumerate(cells):
        same = [np.array_equal(cell, other) for other in cells]
        assert same == [(column - other) % len(classes) == 0 for other in range(6)]


def test_where_columns_have_several_classes_all_are_named_in_their_order():
    titled = title_classes(np.zeros((64, 4 * 64, 3), np.uint8), ('one', 'two', 'three'), 4)
    assert titled.shape == (64 + TITLE_HEIGHT, 4 * 64, 3)
    assert _dark(titled, 4)[0]


def test_without_classes_nothing_is_added():
    grid = np.zeros((64, 128, 3), np.uint8)
    assert title_classes(grid, (), 2) is grid
