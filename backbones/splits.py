"""The splits of a classifier's data, with nothing in them that it cannot learn from or be judged by."""

import dataclasses
import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

import input_pipeline
from backbones.images import ImageRequest
from foundation.training.errors import UserError

_LOGGER = logging.getLogger(__name__)


class Splits(NamedTuple):
    """Images by patients' split: to learn from, to choose by, and to be seen once at the end."""

    train: input_pipeline.ImageData
    validation: input_pipeline.ImageData
    test: input_pipeline.ImageData


def open_splits(request: ImageRequest) -> Splits:
    """Opens all splits, without images that have no class.

    Raises:
      DataError: when a split is missing, damaged, or not what was asked for.
      UserError: when there are fewer than two classes, or one without an image to learn from.
    """
    train = _open_labelled(request, 'train')
    _check_classes(train, request.target)
    return Splits(train, _open_labelled(request, 'validation'), _open_labelled(request, 'test'))


def count_labels(images: input_pipeline.ImageData) -> Int[np.ndarray, ' class']:
    """Images of each class."""
    labels = np.zeros(0, np.int32) if images.labels is None else images.labels
    return np.bincount(labels, minlength=len(images.classes))


def _open_labelled(request: ImageRequest, split: str) -> input_pipeline.ImageData:
    images = _open(request, split)
    if images.classes and (images.labels is None or (images.labels < 0).any()):
        labelled = dataclasses.replace(request, classes=tuple(images.classes))
        kept, total = _open(labelled, split), images.num_examples
        if kept.num_examples < total:
            without = total - kept.num_examples
            _LOGGER.warning('%d of %d %s images have no class and are left out.', without, total, split)
        return kept
    return images


def _open(request: ImageRequest, split: str) -> input_pipeline.ImageData:
    train = split == 'train'
    return request.open(split, flip=train, in_memory=train)


def _check_classes(train: input_pipeline.ImageData, target: str) -> None:
    kind = {'class': 'classes', 'modality': 'modalities'}[target]
    if len(train.classes) < 2:
        raise UserError(
            f'{train.name} has {len(train.classes)} {kind} to tell apart, where a classifier needs two; '
            f'name more in config.data.{kind}, choose another config.target, or take other data.'
        )
    absent = [name for name, count in zip(train.classes, count_labels(train), strict=True) if not count]
    if absent:
        raise UserError(
            f'{train.name} has no training image of {", ".join(absent)}; '
            f'name only the others in config.data.{kind}, or prepare the data with more patients of these.'
        )
