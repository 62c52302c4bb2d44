"""Images of another depth than those that a network was trained on: in which window it is shown them."""

from collections.abc import Collection

import numpy as np

from input_pipeline.preprocessing import stored_maximum
from input_pipeline.records import Record

OWN = 'volume'  # the window that is found in the input: its percentiles
NOTE = (
    'Some images have another depth, or values in other units, than the training images; each volume, or picture '
    'alone, is shown in a window of its own, which its entry names.'
)


def differs(dtype: np.dtype, trained: Collection[str]) -> bool:
    """Whether images of 8 bits meet a network that was trained on more, or the other way round.

    Args:
      dtype: of the images as they are stored.
      trained: stored types of the training images; empty where they are not known.
    """
    depths = {name == 'uint8' for name in trained}
    return bool(depths) and (dtype == np.uint8) not in depths


def is_measured(record: Record) -> bool:
    """Whether its values have units: others are grey levels, whose range is that of their type."""
    return record.image.dtype.kind != 'u' or record.intensity != (0.0, stored_maximum(record.image.dtype))


def is_shown(record: Record, window: tuple[float, float], trained: Collection[str]) -> bool:
    """Whether a window of the training images, in their units, shows what a record holds.

    It does not where the units are others (grey levels never fall below 0, and those of 8 bits are no others), nor
    where all that the record holds is below it, or above.

    Args:
      record: one of a volume, or alone.
      window: lower and upper end.
      trained: see `differs`.
    """
    if differs(record.image.dtype, trained) and not (is_measured(record) and 'uint8' not in trained):
        return False
    if not is_measured(record) and window[0] < 0:
        return False
    low, high = sorted(record.window)
    return low < window[1] and high > window[0]


def describe(
    record: Record, window: str | tuple[float, float], trained: Collection[str], *, whose: str = 'training images'
) -> str:
    """How a record of another depth, or in other units, is shown: one sentence.

    Args:
      record: one of a volume, or alone.
      window: in which it is shown.
      trained: see `differs`.
      whose: the images that these are the types of.
    """
    has = _name_depth(record.image.dtype.name)
    others = ' or '.join(sorted(set(map(_name_depth, trained)))) or 'other units'
    shown = {OWN: 'its own percentiles', 'stored': 'its whole range'}
    where = shown[window] if isinstance(window, str) else f'the window from {window[0]:g} to {window[1]:g}'
    return f'It has {has} a pixel, the {whose} {others}; it is shown in {where}.'


def _name_depth(dtype: str) -> str:
    return '8 bits' if dtype == 'uint8' else 'more than 8 bits'
