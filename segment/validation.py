"""A first measure while training goes on: Dice on the validation split, on the network's own grid."""

import contextlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

import input_pipeline
from foundation.training.state import Variables
from segment.inference import Images, Probabilities

_BATCH = 32


def measure_dice(
    predict: Callable[[Variables, Images], Probabilities],
    variables: Variables,
    images: input_pipeline.ImageData,
    resolution: int,
    mask_classes: int,
) -> Float[np.ndarray, ' classes']:
    """Dice of each foreground class: the mean over patients, of all pixels of each.

    A patient who has none of a class counts 0 where some of it is predicted, and else is left out (nnU-Net); a
    class that no patient has is NaN.

    Args:
      predict, variables: the segmenter.
      images: a split.
      resolution, mask_classes: of its images.
    """
    size = int(images.patients.max()) + 1
    counts = np.zeros((3, size, mask_classes))  # of true, predicted and both
    with contextlib.closing(images.in_order(resolution, _BATCH)) as batches:
        for batch in batches:
            pictures, truth = input_pipeline.split_masks(batch['image'], images.channels, mask_classes)
            predicted = predict(variables, np.ascontiguousarray(pictures)).argmax(axis=-1)
            for patient, own, other in zip(batch['patient'], truth[..., 0], predicted, strict=True):
                for index in range(mask_classes):
                    is_true, is_predicted = own == index + 1, other == index + 1
                    both = np.count_nonzero(is_true & is_predicted)
                    counts[:, patient, index] += np.count_nonzero(is_true), np.count_nonzero(is_predicted), both
    true, predicted_count, both_count = counts
    total = true + predicted_count
    dice = np.divide(2 * both_count, total, out=np.full_like(total, np.nan), where=total > 0)
    counted = ~np.isnan(dice)
    return np.divide(
        np.nansum(dice, axis=0), counted.sum(axis=0), out=np.full(mask_classes, np.nan), where=counted.any(axis=0)
    )
