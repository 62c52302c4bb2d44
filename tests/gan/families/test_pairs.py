"""What translated images are worth, against numbers worked out by hand."""

import numpy as np
import pytest

from gan.translation.measures import find_body, look_at_lesions, match_levels, score_images

SIDE = 16


def _truth():
    """A square of 0.2 with a lesion of 0.6, on air, in each of two images; the second has no lesion."""
    truth = np.full((2, SIDE, SIDE, 1), -1, np.float32)
    truth[:, 2:14, 2:14] = 0.2
    lesions = np.zeros((2, SIDE, SIDE), bool)
    lesions[0, 6:9, 6:9] = True
    truth[lesions] = 0.6
    return truth, lesions


def _score(drawn, truth, lesions):
    return score_images(drawn, truth, lesions, look_at_lesions(truth, lesions), (-1000.0, 1000.0))


def test_errors_are_in_units_of_the_target_and_of_the_body_alone():
    truth, lesions = _truth()
    drawn = truth + np.float32(0.1)
    drawn[:, :2] = 1.0  # wrong outside the body
    scores = _score(drawn, truth, lesions)
    np.testing.assert_allclose(scores['error'], 100.0, rtol=1e-5)
    squares = 0.01 * (SIDE - 2) / SIDE + 4 * 2 / SIDE
    np.testing.assert_allclose(scores['psnr'], 20 * np.log10(2 / np.sqrt(squares)), rtol=1e-5)
    perfect = _score(truth, truth, lesions)
    np.testing.assert_array_equal(perfect['error'], 0)
    np.testing.assert_allclose(perfect['ms_ssim'], 1, atol=1e-5)
    assert (perfect['psnr'] > 120).all()


@pytest.mark.parametrize(('left', 'lost'), [(1.0, 0.0), (0.55, 0.0), (0.45, 100.0), (-1.0, 100.0)])
def test_a_lesion_is_lost_when_less_than_half_of_its_contrast_is_left(left, lost):
    truth, lesions = _truth()
    drawn = truth.copy()
    drawn[lesions] = 0.2 + 0.4 * left
    for sign in (1, -1):  # bright lesions and dark ones
        scores = _score(sign * drawn, sign * truth, lesions)
        assert scores['lost'][0] == lost
        assert np.isnan(scores['lost'][1])


@pytest.mark.parametrize(
    ('place', 'added', 'found'),
    [
        (
            np.s_[1, 3:6, 9:12],
            0.25,
            1,
        ),  # more than half of the contrast of 0.4, where the tissue is that of a lesion
        (np.s_[1, 3:6, 9:12], 0.15, 0),
        (np.s_[1, 3:6, 9:12], -0.25, 0),  # lesions are bright here
        (np.s_[1, 3:12, 9:11], 0.25, 0),  # too thin
        (np.s_[1, 9:13, 3:7], 0.25, 0),  # in bone
        (np.s_[0, 5:10, 5:10], 0.3, 0),  # at the lesion that is there
        (np.s_[0, 10:13, 10:13], 0.3, 1),
    ],
)
def test_a_lesion_is_invented_where_the_truth_has_none(place, added, found):
    truth, lesions = _truth()
    truth[1, 9:13, 3:7] = 0.9
    for sign in (1, -1):
        drawn = truth.copy()
        drawn[place] += added
        scores = _score(sign * drawn, sign * truth, lesions)
        assert scores['invented'].sum() == 100 * found
        assert _score(sign * truth, sign * truth, lesions)['invented'].tolist() == [0, 0]
        wrong = _score(sign * drawn + 0.3, sign * truth, lesions)  # everywhere: no lesion
        assert wrong['invented'].tolist() == scores['invented'].tolist()
    drawn[1, 3:6, 3:6] = truth[1, 3:6, 3:6] + 0.5
    assert _score(drawn, truth, lesions)['invented'].sum() == 100 * (found + 1)
    assert np.isnan(_score(drawn, truth, np.zeros_like(lesions))['invented']).all()


def test_the_body_has_no_holes_and_is_all_where_there_is_none():
    truth, _ = _truth()
    truth[0, 6:9, 6:9] = -1  # air inside
    truth[1] = -1
    body = find_body(truth)
    assert body[0].sum() == 144
    assert body[1].all()


def test_matched_levels_have_the_distribution_of_the_target():
    generator = np.random.default_rng(0)
    source = generator.uniform(-1, 0, (4, SIDE, SIDE, 1)).astype(np.float32)
    target = (1 - 2 * np.square(source)).astype(np.float32)  # rises with the source
    drawn = match_levels(source, target)(source)
    np.testing.assert_allclose(drawn, target, atol=0.02)
    flat = match_levels(np.zeros_like(source), target)(source)
    assert np.isfinite(flat).all()
