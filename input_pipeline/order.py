"""The endless shuffled sequence: which example comes at a position, by the seed and the position alone."""

import functools

import numpy as np
from jaxtyping import Bool, Int32, Int64

from input_pipeline.counters import hash_counters, mix

EPOCH, FLIP, FAVOURED, SHOWN, PLACE = 1, 2, 3, 4, 5  # separate streams of one seed


@functools.lru_cache(maxsize=4)
def _permutations(seed: int, first_epoch: int, epochs: int, size: int) -> Int64[np.ndarray, ' total']:
    """The orders of consecutive epochs, one after the other: each sorts the examples by their hashes."""
    keys = hash_counters(seed, EPOCH, np.arange(first_epoch, first_epoch + epochs))
    hashes = mix(keys[:, None] ^ mix(np.arange(size).astype(np.uint64)))
    permutations = np.argsort(hashes, axis=1, kind='stable').ravel()
    permutations.flags.writeable = False  # the cache hands out the same array again
    return permutations


def shuffled_indices(seed: int, position: int, count: int, size: int) -> Int32[np.ndarray, ' count']:
    """Examples at `position` to `position + count - 1` of the endless sequence.

    Every epoch (positions k size to (k + 1) size - 1) is a fresh permutation of range(size).
    """
    first, last = position // size, (position + count - 1) // size
    # One cache entry an epoch, except where epochs are short beside `count`: then all of them at once.
    if last == first:
        order = _permutations(seed, first, 1, size)
    elif last - first <= 2:
        order = np.concatenate([_permutations(seed, epoch, 1, size) for epoch in range(first, last + 1)])
    else:
        order = _permutations(seed, first, last - first + 1, size)
    start = position - first * size
    return order[start : start + count].astype(np.int32)


def favour(
    indices: Int32[np.ndarray, ' count'],
    favoured: Int64[np.ndarray, ' some'],
    share: float,
    seed: int,
    position: int,
) -> Int32[np.ndarray, ' count']:
    """Puts some examples in the place of others, evenly spread, in a shuffled order of their own.

    Args:
      indices: what stands at `position` and the positions that follow.
      favoured: the examples that are to come more often.
      share: of the positions that get one of these, 0 to 1.
      seed, position: of the sequence.
    """
    before = favoured_before(share, position, len(indices))
    chosen = before[1:] > before[:-1]
    if not chosen.any():
        return indices
    stream = int(hash_counters(seed, FAVOURED, np.zeros(1))[0])
    own = shuffled_indices(stream, int(before[0]), int(chosen.sum()), len(favoured))
    mixed = indices.copy()
    mixed[chosen] = favoured[own]
    return mixed


def favoured_before(share: float, position: int, count: int) -> Int64[np.ndarray, ' places']:
    """How many places are those of favoured ones before `position`, and before each of the `count` after it."""
    return np.floor(np.arange(position, position + count + 1) * share).astype(np.int64)


def random_flips(
    seed: int, position: int, count: int
) -> tuple[Bool[np.ndarray, ' count'], Bool[np.ndarray, ' count']]:
    """Two independent fair coins for each position."""
    bits = hash_counters(seed, FLIP, np.arange(position, position + count))
    return (bits >> np.uint64(63)).astype(bool), ((bits >> np.uint64(62)) & np.uint64(1)).astype(bool)
