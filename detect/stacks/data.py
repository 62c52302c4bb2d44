"""Volumes as the stack detector sees them: what a finished detector of images says of their slices."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

import input_pipeline
from detect.data import binary_labels, read_batches
from detect.detector import TrainedDetector
from detect.networks import sample_slices
from detect.stacks.recipe import StackData
from foundation.training.errors import UserError
from input_pipeline.cases import number_volumes
from input_pipeline.dataset.mixture import MixtureForm

_BATCH_SIZE = 64
_FEWEST = 2  # slices of a volume: single images would be told from volumes by their number alone
Places = Int64[np.ndarray, ' slice']
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Stacks:
    """The volumes of a split; of long ones evenly sampled slices, of short ones all, and padding behind.

    Attributes:
      features: that the network pools for each slice; 0 for padding.
      log_odds: of the slices, calibrated; 0 for padding.
      valid: False for padding.
      altered: which slices were altered.
      labels: 1 where any slice of the volume was altered, sampled or not.
      patients: the number of each volume's patient.
    """

    features: Float32[np.ndarray, 'stack slice feature']
    log_odds: Float32[np.ndarray, 'stack slice']
    valid: Bool[np.ndarray, 'stack slice']
    altered: Bool[np.ndarray, 'stack slice']
    labels: Int32[np.ndarray, ' stack']
    patients: Int64[np.ndarray, ' stack']


def read_slice_detector(workdir: Path) -> TrainedDetector:
    """The finished detector of images of a workdir.

    Raises:
      UserError: when it is not finished, or was trained on since.
    """
    return TrainedDetector.load(workdir, batch_size=_BATCH_SIZE)


def open_slices(data: StackData, detector: TrainedDetector, split: str) -> input_pipeline.ImageData:
    """A split, as the detector of images wants it.

    Raises:
      DataError: when the data set is missing or damaged.
      UserError: when it was not prepared in the way that the detector was trained on.
    """
    images = data.as_seen_by(detector.recipe.data).open(split, train=False)
    form = detector.calibration.form.to_dict()
    for name, value in MixtureForm.from_dict(images.options['form']).to_dict().items():
        if value != form[name]:
            raise UserError(
                f'{data.name} was prepared with {name}={value}, and the detector of slices was trained on '
                f'{name}={form[name]}; prepare it likewise.'
            )
    return images


def list_volumes(images: input_pipeline.ImageData) -> tuple[list[Places], Int32[np.ndarray, ' stack']]:
    """The places of the slices of each volume in stored order, and 1 where any of them was altered.

    Raises:
      UserError: when there is no altered or no real volume.
    """
    numbers = number_volumes(images.records.keys, images.records.patients)
    every = np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers)) + 1)
    volumes, labels = [own for own in every if len(own) >= _FEWEST], binary_labels(images)
    altered = np.array([labels[own].max() for own in volumes], np.int32)
    if not 0 < altered.sum() < len(altered):
        raise UserError(
            f'{images.name} has {len(altered) - altered.sum()} real and {altered.sum()} altered volumes in one of '
            'its splits, where a detector of volumes needs both; make some with python -m detect.tamper.'
        )
    return volumes, altered


def describe_stacks(detector: TrainedDetector, images: input_pipeline.ImageData, wanted: int) -> Stacks:
    """The volumes of a split.

    Args:
      detector: of slices.
      images: the split, see `open_slices`.
      wanted: slices that stand for a longer volume.

    Raises:
      UserError: see `list_volumes`.
    """
    volumes, labels = list_volumes(images)
    sampled = [own[sample_slices(len(own), wanted)] for own in volumes]
    rows = np.concatenate(sampled)
    pooled, logits = _describe(detector, images, rows)
    log_odds = (logits / detector.calibration.temperature).astype(np.float32)
    valid = np.arange(wanted) < np.array([len(own) for own in sampled])[:, None]
    return Stacks(
        features=_fill(valid, pooled),
        log_odds=_fill(valid, log_odds),
        valid=valid,
        altered=_fill(valid, binary_labels(images)[rows] > 0),
        labels=labels,
        patients=images.patients[[own[0] for own in volumes]],
    )


def _fill(valid: Bool[np.ndarray, 'stack slice'], values: np.ndarray) -> np.ndarray:
    """Values of all slices, one after the other, in their places; 0 elsewhere."""
    filled = np.zeros((*valid.shape, *values.shape[1:]), values.dtype)
    filled[valid] = values
    return filled


def _describe(
    detector: TrainedDetector, images: input_pipeline.ImageData, rows: Places
) -> tuple[Float32[np.ndarray, 'slice feature'], Float32[np.ndarray, ' slice']]:
    """Pooled features and logits of these images, which rise in stored order."""
    _LOGGER.info('%s: describing %d slices.', images.name, len(rows))
    wanted = np.isin(np.arange(images.num_examples), rows)
    batches = read_batches(images, detector.recipe.resolution, _BATCH_SIZE, wanted)
    pooled, logits = [], []
    for batch in batches:  # keeping no more than is asked for: maps are large
        detection = detector.describe(batch)
        pooled.append(np.asarray(detection.pooled, np.float32))
        logits.append(np.asarray(detection.logits, np.float32))
    return np.concatenate(pooled), np.concatenate(logits)
