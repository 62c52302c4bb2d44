"""The endless shuffled sequence: permutations, random access, fair coins."""

import numpy as np
import pytest

from input_pipeline.order import random_flips, shuffled_indices


@pytest.mark.parametrize('size', [1, 3, 25, 1000])
def test_every_epoch_is_a_fresh_permutation(size):
    order = shuffled_indices(3, 0, 5 * size, size).reshape(5, size)
    for epoch in order:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(size))
    if size == 1000:
        assert len({tuple(epoch) for epoch in order}) == 5
        assert (order[0] == np.arange(size)).sum() < 10  # one fixed point is expected


def test_order_is_a_function_of_seed_and_position():
    whole = shuffled_indices(3, 0, 4000, 37)
    for position, count in ((0, 1), (36, 2), (100, 3000), (3999, 1)):
        np.testing.assert_array_equal(shuffled_indices(3, position, count, 37), whole[position : position + count])
    assert (shuffled_indices(4, 0, 4000, 37) != whole).mean() > 0.9
    far = 10**13
    np.testing.assert_array_equal(shuffled_indices(3, far, 9, 37)[4:], shuffled_indices(3, far + 4, 5, 37))


def test_every_pair_of_neighbours_is_equally_likely():
    order = shuffled_indices(1, 0, 3 * 6000, 3).reshape(6000, 3)
    counts = np.unique(order @ [9, 3, 1], return_counts=True)[1]
    assert len(counts) == 6
    assert np.abs(counts - 1000).max() < 3.5 * np.sqrt(1000 * 5 / 6)


def test_flips_are_independent_fair_coins():
    horizontal, vertical = random_flips(7, 0, 10000)
    for coin in (horizontal, vertical, horizontal ^ vertical, horizontal[1:] ^ horizontal[:-1]):
        assert abs(coin.mean() - 0.5) < 0.02
    np.testing.assert_array_equal(random_flips(7, 5000, 10)[0], horizontal[5000:5010])
