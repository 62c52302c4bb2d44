"""The largest part alone is chosen where validation patients gain by it, beyond chance, and nowhere else."""

import numpy as np
import pytest

from input_pipeline import Case
from segment.parts import choose_parts
from segment.segmentation import Segmentation
from tests.input_pipeline.items import make_item

TRUTH = np.zeros((1, 8, 12), np.uint8)
TRUTH[0, 1:5, 1:5] = 1
TRUTH[0, 1:3, 8:11] = 2


def _choose(masks, truths=None, patients=None, classes=('liver', 'tumour')):
    """What is chosen for these masks of cases."""
    truths = [TRUTH] * len(masks) if truths is None else truths
    patients = patients or [f'p{number}' for number in range(len(masks))]
    cases = []
    for number, (patient, truth) in enumerate(zip(patients, truths, strict=True)):
        planes = [plane[..., None] for plane in truth]
        item = make_item(str(number), planes, masks=planes)
        cases.append(Case(str(number), patient, tuple(item.load())))

    def segment(case):
        mask = masks[int(case.name)]
        return Segmentation(mask, np.zeros_like(mask), np.ones(len(classes)))

    return choose_parts(segment, cases, classes, total=len(cases))


def _with(*regions, truth=TRUTH):
    mask = truth.copy()
    for class_id, rows, columns in regions:
        mask[0, rows, columns] = class_id
    return mask


SPECK = slice(6, 7), slice(2, 4)  # two pixels apart from all


def test_specks_are_a_loss_that_the_largest_part_alone_makes_good():
    liver, tumour = _choose([_with((1, *SPECK))] * 3 + [_with()])
    assert liver.largest_alone
    assert liver.dice == pytest.approx((3 * 2 * 16 / (16 + 18) + 1) / 4)
    gains = np.array([1 - 32 / 34] * 3 + [0.0])
    assert liver.gain == pytest.approx(gains.mean())
    assert liver.error == pytest.approx(gains.std(ddof=1) / 4**0.5)
    assert (tumour.gain, tumour.largest_alone, tumour.patients) == (0.0, False, 4)


def test_true_parts_are_not_taken_away():
    truth = _with((1, *SPECK))
    liver, _ = _choose([truth] * 3, [truth] * 3)
    assert liver.gain < 0
    assert not liver.largest_alone


def test_one_patient_alone_takes_nothing_away():
    masks = [_with((1, *SPECK)), _with((1, *SPECK))]
    assert not _choose(masks, patients=['a', 'a'])[0].largest_alone
    assert not _choose([_with((1, *SPECK)), *[_with()] * 9])[0].largest_alone


def test_a_class_that_nobody_has_is_left_alone():
    empty = np.zeros_like(TRUTH)
    liver, tumour = _choose([empty] * 2, [empty] * 2)
    assert [(choice.patients, choice.dice, choice.largest_alone) for choice in (liver, tumour)] == [
        (0, None, False)
    ] * 2
