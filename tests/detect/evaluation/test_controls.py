"""Changes that make nothing synthetic."""

import numpy as np
import pytest

from detect.data import read_batches
from detect.evaluation.perturbations import logits_after, on_device
from detect.evaluation.shortcuts import give_grey_levels, match_grey_levels, put_back


@pytest.fixture(scope='module')
def shown(detector, measured):
    """All test images."""
    return np.concatenate(list(read_batches(measured.images, detector.recipe.resolution, 64, None)))


@pytest.mark.slow
def test_several_changes_of_one_reading(detector, measured):
    seen = []

    def turn(batch, places):
        seen.extend(places.tolist())
        return np.where((places % 2 == 0)[:, None, None, None], batch, -batch)

    changes = {'none': lambda batch, places: batch, 'turned': turn, 'negative': on_device(lambda images: -images)}
    after = logits_after(detector, measured.images, changes)
    assert seen == list(range(len(measured.labels)))
    own = measured.scored.scores['network']
    np.testing.assert_allclose(after['none'], own, atol=1e-4)
    np.testing.assert_allclose(
        after['turned'], np.where(np.arange(len(own)) % 2, after['negative'], own), atol=1e-4
    )
    assert not np.allclose(after['negative'], own, atol=1e-2)


def test_strengths_reach_every_image():
    batch = np.ones((3, 2, 2, 1), np.float32)
    scale = on_device(lambda images, factor: images * factor[:, None, None, None], 0.5)
    np.testing.assert_array_equal(scale(batch, np.arange(3)), batch / 2)


def test_grey_levels_are_given_in_the_order_of_the_image():
    random = np.random.default_rng(0)
    image = random.permutation(128).reshape(8, 8, 2).astype(np.float32)
    levels = np.sort(random.normal(size=(64, 2)).astype(np.float32), axis=0)
    given = give_grey_levels(image, levels)
    for channel in range(2):
        np.testing.assert_array_equal(np.sort(given[..., channel], axis=None), levels[:, channel])
        order = np.argsort(image[..., channel], axis=None)
        np.testing.assert_array_equal(given[..., channel].flat[order], levels[:, channel])


def test_equal_pixels_are_ordered_by_those_around_them():
    image = np.zeros((9, 9, 1), np.float32)
    image[4, 4] = 1
    given = give_grey_levels(image, np.arange(81, dtype=np.float32)[:, None])[..., 0]
    assert given[4, 4] == 80
    rows, columns = np.indices((9, 9))
    distance = np.maximum(abs(rows - 4), abs(columns - 4))
    assert given[distance == 1].min() > given[distance == 2].max() > given[distance == 2].min()
    assert given[distance == 2].min() > given[distance > 2].max()


def test_images_get_the_histogram_of_a_real_one_of_their_modality(detector, measured, shown):
    places = np.arange(len(shown))
    changed = match_grey_levels(detector, measured, seed=0)(shown, places)
    before, after = (np.sort(images.reshape(len(images), -1), axis=1) for images in (shown, changed))
    modalities, real = np.array(measured.modalities), measured.labels == 0
    assert (measured.labels == 1).sum() > 10
    for place in places:
        own = real & (modalities == modalities[place])
        donors = before[own if own.any() else real]
        assert (donors == after[place]).all(axis=1).any()
    assert len(np.unique(after, axis=0)) > 2


def test_what_is_put_back_leaves_the_rest(shown):
    changed = put_back(0)(shown[:2], np.arange(2))
    assert changed.dtype == np.float32
    np.testing.assert_array_equal(changed[:, :2], shown[:2, :2])
    assert not np.array_equal(changed, shown[:2])
    assert abs(changed - shown[:2]).mean() < 0.05
