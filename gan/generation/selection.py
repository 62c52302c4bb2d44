"""Which images are asked for: seeds, and how many of each class, as texts."""

from collections.abc import Sequence

from foundation.training.errors import UserError

MOST, _MOST_SEEDS, LARGEST_SEED = 10_000_000, 1_000, 2**32 - 1


def read_counts(pairs: Sequence[str]) -> dict[str, int]:
    """Images by class, from texts like `benign=100`.

    Raises:
      UserError: for anything else, a class that is named twice, or numbers that are not positive or too large.
    """
    counts: dict[str, int] = {}
    for pair in pairs:
        name, _, number = pair.rpartition('=')
        if not name or name in counts or not (number.isascii() and number.isdigit()):
            raise UserError(f'--counts: {pair!r} is not the number of a class named once, like benign=100.')
        counts[name] = int(number)
    if not all(counts.values()) or sum(counts.values()) > MOST:
        raise UserError(f'--counts asks for {sum(counts.values())} images; from 1 of each class to {MOST} in all.')
    return counts


def read_seeds(texts: Sequence[str]) -> list[int]:
    """Seeds in their order, from texts like `4` or `1-5`, both ends included.

    Raises:
      UserError: for anything else, a seed that is named twice, and more than a thousand.
    """
    seeds: list[int] = []
    for text in texts:
        ends = text.split('-')
        if len(ends) > 2 or not all(end.isascii() and end.isdigit() and len(end) <= 10 for end in ends):
            raise UserError(f'--seeds: {text!r} is no seed, nor a range like 1-5.')
        first, last = int(ends[0]), int(ends[-1])
        if not first <= last <= LARGEST_SEED or last - first >= _MOST_SEEDS:
            raise UserError(f'--seeds: {text!r} must rise, to at most {LARGEST_SEED}, over at most {_MOST_SEEDS}.')
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise UserError('--seeds names a seed twice.')
    return seeds
