"""The pool of earlier fakes against the published rule, image by image."""

import jax
import numpy as np

from gan.pool import create_pool, exchange

SIZE = 3


def _expected(pool, fakes, coins, places):
    """The rule in Python; `pool` is a list that grows up to SIZE."""
    shown = []
    for fake, coin, place in zip(fakes, coins, places, strict=True):
        if len(pool) < SIZE:
            pool.append(fake)
            shown.append(fake)
        elif coin:
            shown.append(pool[place])
            pool[place] = fake
        else:
            shown.append(fake)
    return shown


def test_the_pool_fills_then_half_of_the_fakes_are_exchanged_one_by_one():
    step, pool, held = jax.jit(exchange), create_pool((SIZE, 1, 1, 1)), []
    kept = 0
    for number in range(12):
        key = jax.random.key(number)
        coin_key, place_key = jax.random.split(key)
        coins = np.asarray(jax.random.bernoulli(coin_key, shape=(4,)))
        places = np.asarray(jax.random.randint(place_key, (4,), 0, SIZE))
        fakes = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1) + 10 * number
        expected = _expected(held, list(fakes), coins, places)
        pool, shown = step(pool, fakes, key)
        np.testing.assert_array_equal(shown, expected)
        np.testing.assert_array_equal(pool['images'], held)
        assert int(pool['count']) == SIZE
        kept += int((np.asarray(shown) == fakes).sum())
    assert 4 + 44 * 0.25 < kept < 4 + 44 * 0.75


def test_a_pool_that_is_not_full_holds_what_came():
    fakes = np.ones((2, 1, 1, 1), np.float32)
    pool, shown = jax.jit(exchange)(create_pool((SIZE, 1, 1, 1)), fakes, jax.random.key(0))
    np.testing.assert_array_equal(shown, fakes)
    assert (int(pool['count']), np.ravel(pool['images']).tolist()) == (2, [1.0, 1.0, 0.0])
