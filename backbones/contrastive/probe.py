"""What features know of classes that they were never told: the classes of the nearest images of other patients."""

import numpy as np
from jaxtyping import Bool, Float, Int

NEIGHBOURS = 10


def right_neighbours(
    known: Float[np.ndarray, 'known feature'],
    known_labels: Int[np.ndarray, 'known'],
    asked: Float[np.ndarray, 'asked feature'],
    asked_labels: Int[np.ndarray, 'asked'],
) -> Bool[np.ndarray, 'asked']:
    """Whether the nearest images by cosine vote for the true class, each with its cosine plus 1.

    Args:
      known, known_labels: of images whose classes are given; fewer than NEIGHBOURS all vote.
      asked, asked_labels: of other images.
    """
    count, num_classes = min(NEIGHBOURS, len(known)), int(max(known_labels.max(), asked_labels.max())) + 1
    cosines = _to_sphere(asked) @ _to_sphere(known).T + 1
    nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    votes = np.zeros((len(asked), num_classes))
    np.add.at(
        votes, (np.arange(len(asked))[:, None], known_labels[nearest]), np.take_along_axis(cosines, nearest, 1)
    )
    return votes.argmax(axis=1) == asked_labels


def _to_sphere(rows: Float[np.ndarray, 'count feature']) -> Float[np.ndarray, 'count feature']:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
