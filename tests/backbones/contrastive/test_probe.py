"""The classes of nearest neighbours against a sort of all cosines, image by image."""

import numpy as np

from backbones.contrastive.probe import NEIGHBOURS, right_neighbours


def _slowly(known, known_labels, asked):
    voted = []
    for row in asked:
        cosines = [row @ other / (np.linalg.norm(row) * np.linalg.norm(other)) for other in known]
        nearest = sorted(range(len(known)), key=lambda place: -cosines[place])[:NEIGHBOURS]
        votes = {}
        for place in nearest:
            votes[known_labels[place]] = votes.get(known_labels[place], 0) + 1 + cosines[place]
        voted.append(max(votes, key=votes.get))
    return np.array(voted)


def test_votes_are_those_of_a_full_sort():
    rng = np.random.default_rng(0)
    labels, asked_labels = rng.integers(0, 3, 60), rng.integers(0, 3, 40)
    centres = rng.normal(size=(3, 6))
    known, asked = (centres[own] + rng.normal(size=(len(own), 6)) for own in (labels, asked_labels))
    right = right_neighbours(known, labels, asked, asked_labels)
    np.testing.assert_array_equal(right, _slowly(known, labels, asked) == asked_labels)
    assert 0.5 < right.mean() < 1
    np.testing.assert_array_equal(right_neighbours(known, labels, 9 * asked, asked_labels), right)


def test_fewer_images_than_neighbours_all_vote():
    right = right_neighbours(np.eye(2), np.array([0, 1]), np.array([[1.0, 0.1], [1.0, 0.2]]), np.array([0, 1]))
    np.testing.assert_array_equal(right, [True, False])
