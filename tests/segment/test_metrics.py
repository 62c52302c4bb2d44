"""Dice, IoU, HD95 and NSD of masks: truth tables, hand-computed numbers, and a brute-force implementation."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial.distance

from segment.metrics import METRICS, POLICIES, CaseMeasures, measure, surface_distances

SPACING = (3.0, 4.0)
DIAGONAL = math.hypot(6 * 3.0, 8 * 4.0)
CLASS = 2


def _square(rows, columns, shape=(6, 8)):
    mask = np.ones(shape, np.uint8)  # class 1 all around, which is none of class 2
    mask[rows, columns] = CLASS
    return mask


FULL = _square(slice(1, 4), slice(2, 5))
EMPTY = np.ones((6, 8), np.uint8)


@pytest.mark.parametrize(
    ('predicted', 'truth', 'kind', 'policy', 'overlap', 'hd95'),
    [
        (EMPTY, EMPTY, 'both empty', 'nnunet', None, None),
        (EMPTY, EMPTY, 'both empty', 'monai', None, None),
        (EMPTY, EMPTY, 'both empty', 'ones', 1.0, 0.0),
        (EMPTY, FULL, 'missed', 'nnunet', 0.0, DIAGONAL),
        (EMPTY, FULL, 'missed', 'monai', 0.0, DIAGONAL),
        (EMPTY, FULL, 'missed', 'ones', 0.0, DIAGONAL),
        (FULL, EMPTY, 'false', 'nnunet', 0.0, DIAGONAL),
        (FULL, EMPTY, 'false', 'monai', None, DIAGONAL),
        (FULL, EMPTY, 'false', 'ones', 0.0, DIAGONAL),
        (FULL, FULL, 'both', 'nnunet', 1.0, 0.0),
        (FULL, FULL, 'both', 'monai', 1.0, 0.0),
        (FULL, FULL, 'both', 'ones', 1.0, 0.0),
    ],
)
def test_truth_table_of_empty_masks(predicted, truth, kind, policy, overlap, hd95):
    measured = measure(predicted, truth, CLASS, SPACING, 1.0)
    assert measured.kind == kind
    assert [measured.score(metric, policy) for metric in ('dice', 'iou', 'nsd')] == [overlap] * 3
    assert measured.score('hd95', policy) == (hd95 if hd95 is None else pytest.approx(hd95))


@pytest.mark.parametrize('policy', POLICIES)
def test_what_no_policy_decides(policy):
    assert measure(EMPTY, EMPTY, CLASS, SPACING, 1.0).score('sensitivity', policy) is None
    assert measure(FULL, EMPTY, CLASS, SPACING, 1.0).score('sensitivity', policy) is None
    assert measure(EMPTY, FULL, CLASS, SPACING, 1.0).score('sensitivity', policy) == 0
    assert measure(FULL, EMPTY, CLASS, SPACING, 1.0).score('false_positive_volume', policy) == 9 * 12
    assert measure(EMPTY, FULL, CLASS, SPACING, 1.0).score('false_positive_volume', policy) == 0


def test_numbers_by_hand():
    """A square of 3 x 3, found one column off: 6 pixels of each 9 agree, and one column of each is 4 mm off."""
    measured = measure(_square(slice(1, 4), slice(3, 6)), FULL, CLASS, SPACING, 3.9)
    assert (measured.true_positives, measured.false_positives, measured.false_negatives) == (6, 3, 3)
    assert measured.dice == pytest.approx(6 / 9)
    assert measured.iou == pytest.approx(6 / 12)
    assert measured.sensitivity == pytest.approx(6 / 9)
    assert (measured.false_positive_volume, measured.volume_unit, measured.unit) == (36.0, 'mm^2', 'mm')
    # Eight surface pixels each. Three at the far edge are 4 mm away; one lies 3 mm away, on the other's centre,
    # which is no surface.
    assert measured.hd95 == pytest.approx(4)
    assert measured.nsd == pytest.approx(10 / 16)
    assert measure(_square(slice(1, 4), slice(3, 6)), FULL, CLASS, SPACING, 4.0).nsd == 1


def test_a_distance_of_the_tolerance_is_within_it():
    """Also where 3 x 0.1 is a little more than 0.3."""
    first, second = (_square(slice(0, 1), slice(column, column + 1)) for column in (1, 4))
    assert measure(first, second, CLASS, (0.1, 0.1), 0.3).nsd == 1
    assert measure(first, second, CLASS, (0.1, 0.1), 0.29).nsd == 0
    assert measure(first, first, CLASS, (0.1, 0.1), 0.0).nsd == 1


def test_hd95_is_the_larger_directed_percentile():
    """A pixel against a line: 0 from the pixel, up to 19 from the line."""
    line, dot = np.zeros((2, 1, 20), np.uint8)
    line[0], dot[0, 0] = 1, 1
    assert measure(line, dot, 1, (1.0, 1.0), 0.0).hd95 == pytest.approx(0.95 * 19)
    assert measure(dot, line, 1, (1.0, 1.0), 0.0).hd95 == pytest.approx(0.95 * 19)


@pytest.mark.parametrize('spacing', [(0.0, 4.0), (3.0, 0.0), (0.0, 0.0)])
def test_unknown_spacing_gives_pixels(spacing):
    measured = measure(_square(slice(1, 4), slice(3, 6)), FULL, CLASS, spacing, 1.0)
    assert (measured.unit, measured.volume_unit, measured.hd95, measured.nsd) == ('pixels', 'pixels', 1.0, 1.0)
    assert measured.false_positive_volume == 3
    assert measure(EMPTY, FULL, CLASS, spacing, 1.0).hd95 == 10


def _surface(mask, spacing):
    """Points of a mask with a neighbour outside, one by one."""
    inside = {tuple(map(int, point)) for point in np.argwhere(mask)}
    steps = [tuple(map(int, step)) for axis in np.eye(mask.ndim) for step in (axis, -axis)]
    edge = [p for p in inside if any(tuple(map(sum, zip(p, step, strict=True))) not in inside for step in steps)]
    return np.array(edge) * np.array(spacing)


def _brute_force(predicted, truth, spacing, tolerance):
    first, second = (_surface(mask, spacing) for mask in (predicted, truth))
    pairs = scipy.spatial.distance.cdist(first, second)
    near = pairs.min(axis=1), pairs.min(axis=0)
    within = sum((distances <= tolerance).sum() for distances in near)
    dice = 1 - scipy.spatial.distance.dice(predicted.ravel(), truth.ravel())
    return max(np.quantile(distances, 0.95) for distances in near), within / sum(map(len, near)), dice


def _blobs(generator, shape):
    """Random masks that are neither compact nor noise, and reach the border."""
    smooth = scipy.ndimage.gaussian_filter(generator.normal(size=shape), 1.2)
    return smooth > np.quantile(smooth, 0.7)


@pytest.mark.parametrize(
    ('shape', 'spacing'),
    [
        ((30, 37), (0.7, 1.9)),
        ((9, 14, 12), (5.0, 0.8, 1.3)),
        ((60, 80), (0.5, 0.6)),
        ((1, 12, 9), (2.0, 1.0, 1.0)),
    ],
)
@pytest.mark.parametrize('seed', range(3))
def test_random_masks_agree_with_brute_force(shape, spacing, seed):
    generator = np.random.default_rng(seed)
    predicted, truth = _blobs(generator, shape), _blobs(generator, shape)
    measured = measure(predicted.astype(np.uint8), truth.astype(np.uint8), 1, spacing, 1.05)
    expected = _brute_force(predicted, truth, spacing, 1.05)
    assert (measured.hd95, measured.nsd, measured.dice) == pytest.approx(expected, rel=1e-9)


def test_distance_map_and_tree_agree_with_brute_force():
    """Few surface pixels in a large box go by a tree, many by a map of distances."""
    rows, columns = np.indices((90, 90))
    discs = [(rows - 40) ** 2 + (columns - centre) ** 2 < 35**2 for centre in (40, 46)]
    noise = [np.random.default_rng(seed).random((40, 40)) < 0.4 for seed in range(2)]
    for first, second in (discs, noise):
        measured = measure(first.astype(np.uint8), second.astype(np.uint8), 1, (2.0, 0.9), 1.0)
        assert (measured.hd95, measured.nsd) == pytest.approx(_brute_force(first, second, (2.0, 0.9), 1.0)[:2])


@pytest.fixture(scope='module')
def masks():
    generator = np.random.default_rng(7)
    return tuple(_blobs(generator, (7, 12, 10)).astype(np.uint8) for _ in range(2))


SPACING_3D = (4.0, 0.7, 1.1)


def test_distances_are_symmetric(masks):
    forward, backward = (measure(*pair, 1, SPACING_3D, 1.0) for pair in (masks, masks[::-1]))
    assert (forward.hd95, forward.nsd, forward.dice) == (backward.hd95, backward.nsd, backward.dice)
    assert forward.false_positives == backward.false_negatives > 0


def test_an_empty_border_changes_nothing(masks):
    wider = [np.pad(mask, ((2, 1), (0, 3), (5, 0))) for mask in masks]
    assert measure(*wider, 1, SPACING_3D, 1.0) == measure(*masks, 1, SPACING_3D, 1.0)


@pytest.mark.parametrize('order', list(itertools.permutations(range(3))))
def test_axes_move_with_their_spacing(masks, order):
    moved = measure(*(mask.transpose(order) for mask in masks), 1, tuple(SPACING_3D[a] for a in order), 1.0)
    still = measure(*masks, 1, SPACING_3D, 1.0)
    assert dataclasses.astuple(moved) == pytest.approx(dataclasses.astuple(still))


def test_distances_scale_with_the_spacing(masks):
    small = measure(*masks, 1, SPACING_3D, 1.0)
    large = measure(*masks, 1, tuple(3 * step for step in SPACING_3D), 3.0)
    assert large.hd95 == pytest.approx(3 * small.hd95)
    assert large.nsd == pytest.approx(small.nsd)
    assert large.false_positive_volume == pytest.approx(27 * small.false_positive_volume)
    assert (large.volume_unit, large.dice) == ('mm^3', small.dice)


def test_other_classes_do_not_matter(masks):
    recoloured = [np.where(mask == 0, np.uint8(3), mask) for mask in masks]
    assert measure(*recoloured, 1, SPACING_3D, 1.0) == measure(*masks, 1, SPACING_3D, 1.0)


def test_measures_go_through_json(masks):
    for pair in (masks, (masks[0], 0 * masks[1])):
        measured = measure(*pair, 1, SPACING_3D, 1.0)
        assert CaseMeasures(**json.loads(json.dumps(dataclasses.asdict(measured)))) == measured


@pytest.mark.parametrize(
    ('shape', 'spacing', 'tolerance', 'message'),
    [
        ((4, 4), (1.0, 1.0, 1.0), 1.0, 'do not fit'),
        ((4,), (1.0,), 1.0, 'do not fit'),
        ((4, 4), (1.0, -1.0), 1.0, 'not negative'),
        ((4, 4), (1.0, math.nan), 1.0, 'finite'),
        ((4, 4), (1.0, 1.0), -1.0, 'not negative'),
    ],
)
def test_what_does_not_fit_is_refused(shape, spacing, tolerance, message):
    with pytest.raises(ValueError, match=message):
        measure(np.ones(shape, np.uint8), np.ones(shape, np.uint8), 1, spacing, tolerance)


def test_masks_of_two_shapes_are_refused():
    """By the check of shapes under test, by a ValueError otherwise; never broadcast."""
    with pytest.raises(Exception, match=r'do not fit|shape'):
        measure(np.ones((1, 4), np.uint8), np.ones((4, 4), np.uint8), 1, (1.0, 1.0), 1.0)


def test_unknown_metrics_and_empty_surfaces_are_refused():
    with pytest.raises(ValueError, match="no metric 'area'"):
        measure(FULL, FULL, CLASS, SPACING, 1.0).score('area', 'ones')
    with pytest.raises(ValueError, match='no surface'):
        surface_distances(FULL == CLASS, FULL == 7, SPACING)
    assert len(METRICS) == 6
