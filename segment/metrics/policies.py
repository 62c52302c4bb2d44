"""What a score is where the prediction, the truth or both are empty: published means differ by this alone."""

from collections.abc import Mapping
from typing import Literal

Kind = Literal['both', 'both empty', 'missed', 'false']  # missed: empty prediction; false: empty truth
KINDS: tuple[Kind, ...] = ('both', 'both empty', 'missed', 'false')
POLICIES = ('nnunet', 'monai', 'ones')
_Table = Mapping[str, Mapping[Kind, float | None]]

# Dice, IoU and NSD of a case that is not 'both'; None: the case is skipped.
OVERLAPS: _Table = {
    'nnunet': {'both empty': None, 'missed': 0.0, 'false': 0.0},
    'monai': {'both empty': None, 'missed': 0.0, 'false': None},  # its default, which hides false positives
    'ones': {'both empty': 1.0, 'missed': 0.0, 'false': 0.0},  # MONAI with ignore_empty=False
}

# HD95 where both are empty. A missed or false structure is as far off as the image allows under every policy:
# a case that is left out there would reward the miss.
EMPTY_DISTANCES: Mapping[str, float | None] = {'nnunet': None, 'monai': None, 'ones': 0.0}


def find_kind(*, predicted: bool, truth: bool) -> Kind:
    """The kind of a case.

    Args:
      predicted, truth: whether the mask holds anything.
    """
    if predicted:
        return 'both' if truth else 'false'
    return 'missed' if truth else 'both empty'
