"""Masks from probabilities, the doubt of each pixel, and the Dice that is expected of a mask."""

import numpy as np
import pytest

from segment.segmentation import Segmentation, decide


def _probabilities(shape, classes, seed):
    values = np.random.default_rng(seed).gamma(0.5, size=(*shape, classes))
    return (values / values.sum(axis=-1, keepdims=True)).astype(np.float32)


def test_the_most_probable_class_is_taken_and_the_rest_is_doubt():
    slices = _probabilities((3, 5, 4), 3, seed=0)
    found = decide(iter(slices))
    np.testing.assert_array_equal(found.ids, slices.argmax(axis=-1))
    np.testing.assert_allclose(found.doubt / 255, 1 - slices.max(axis=-1), atol=0.5 / 255 + 1e-6)


def test_the_expected_dice_is_the_definition_over_all_slices():
    slices = _probabilities((3, 5, 4), 3, seed=1)
    found = decide(iter(slices))
    for class_id in (1, 2):
        above = below = 0.0
        for image in slices:
            for pixel in image.reshape(-1, 3):
                chosen = float(pixel.argmax() == class_id)
                above += 2 * pixel[class_id] * chosen
                below += pixel[class_id] + chosen
        assert found.expected_dice[class_id - 1] == pytest.approx(above / below, abs=1 / 255)


def test_true_probabilities_expect_the_dice_that_is_reached():
    """Truths are drawn from the probabilities; the mean Dice over many is what was expected."""
    (image,) = _probabilities((1, 60, 60), 2, seed=2)
    found = decide([image])
    generator, reached = np.random.default_rng(3), []
    for _ in range(200):
        truth = generator.random(image.shape[:2]) < image[..., 1]
        mask = found.ids[0] == 1
        reached.append(2 * np.count_nonzero(truth & mask) / (np.count_nonzero(truth) + np.count_nonzero(mask)))
    assert found.expected_dice[0] == pytest.approx(np.mean(reached), abs=4 * np.std(reached) / 200**0.5)


def test_of_a_class_that_was_not_found_nothing_is_expected():
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[..., 0], image[..., 1] = 0.9, 0.1
    assert decide(image).expected_dice == (None, None)
    image[..., :2] = image[..., 1::-1]
    assert decide(image).expected_dice == (pytest.approx(2 * 0.9 / 1.9, abs=1 / 255), None)


def test_the_largest_part_stays_and_what_is_taken_away_is_in_doubt():
    ids = np.zeros((2, 6, 8), np.uint8)
    ids[0, :3, :3] = 1  # nine pixels, and one more that touches by a corner in the next slice
    ids[1, 3, 3] = 1
    ids[:, 5, 6:] = 1  # four
    ids[1, 0, 7] = 2
    ids[0, 3, 7] = 2
    found = Segmentation(ids, np.full(ids.shape, 10, np.uint8), np.array([14.0, 2.0]))
    cleaned = found.with_largest_parts([1])
    taken = np.zeros(ids.shape, bool)
    taken[:, 5, 6:] = True
    np.testing.assert_array_equal(cleaned.ids, np.where(taken, 0, ids))
    np.testing.assert_array_equal(cleaned.doubt, np.where(taken, 255, 10))
    assert cleaned.expected_dice[0] == pytest.approx(2 * 10 * (245 / 255) / (14 + 10))
    assert cleaned.expected_dice[1] == found.expected_dice[1]
    assert np.count_nonzero(found.with_largest_parts([2]).ids == 2) == 1
    np.testing.assert_array_equal(found.with_largest_parts([]).ids, ids)
    np.testing.assert_array_equal(found.ids, ids)
