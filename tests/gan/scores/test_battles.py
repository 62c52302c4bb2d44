"""The generative adversarial metric: errors counted by hand, and who wins."""

import math

import numpy as np
import pytest

from gan.scores.battles import Battle, ErrorShares, error_shares, fight


def test_errors_are_counted_by_sign():
    judged = error_shares(
        np.array([1.0, 2.0, -1.0, 0.0]), {'a': np.array([-1.0, -2.0, 3.0, 1.0]), 'b': np.zeros(2)}
    )
    assert judged == ErrorShares(real=0.375, generated={'a': 0.5, 'b': 0.5})


@pytest.mark.parametrize(
    ('one', 'other', 'expected'),
    [
        # The first is fooled by half as many of the other's images as the other by its own.
        (ErrorShares(0.2, {'b': 0.2}), ErrorShares(0.2, {'a': 0.4}), Battle(1.0, 0.5, 'a')),
        (ErrorShares(0.2, {'b': 0.4}), ErrorShares(0.2, {'a': 0.2}), Battle(1.0, 2.0, 'b')),
        (ErrorShares(0.2, {'b': 0.3}), ErrorShares(0.2, {'a': 0.3}), Battle(1.0, 1.0, '')),
        # A discriminator that calls all generated is never fooled: it wins nothing.
        (ErrorShares(1.0, {'b': 0.0}), ErrorShares(0.25, {'a': 0.5}), Battle(4.0, 0.0, '')),
        (ErrorShares(0.0, {'b': 0.1}), ErrorShares(0.0, {'a': 0.2}), Battle(1.0, 0.5, 'a')),
        (ErrorShares(0.1, {'b': 0.1}), ErrorShares(0.0, {'a': 0.0}), Battle(math.inf, math.inf, '')),
    ],
)
def test_the_winner_is_fooled_less_where_both_know_real_images_alike(one, other, expected):
    assert fight('a', 'b', {'a': one, 'b': other}) == expected
    assert fight('b', 'a', {'a': one, 'b': other}).winner == expected.winner
