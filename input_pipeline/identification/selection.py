"""Choosing exemplars of each kind, and the likeness below which a picture is none of them."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from input_pipeline.errors import DataError
from input_pipeline.identification.exemplars import Exemplars
from input_pipeline.identification.measures import MEASURES
from input_pipeline.identification.recognition import compare
from input_pipeline.identification.thumbnails import Picture

# A picture of a known kind is called none of these so often, on pictures like those of the calibration.
FALSE_NONE = 0.05
_FEWEST = 8
_MOST_COMMON_SHARE = 0.9


def build_exemplars(pictures: Mapping[str, Sequence[Picture]], per_kind: int, seed: int) -> Exemplars:
    """Exemplars of each kind with thresholds for every measure.

    The patients of a kind are divided at random into two halves. From the pictures of the first the exemplars
    are chosen; those of the second, which the exemplars never saw, calibrate the thresholds: for each measure
    the percentile `FALSE_NONE` of their likeness to the most alike exemplar of their own kind.

    Args:
      pictures: of each kind.
      per_kind: exemplars of each kind, fewer where its first half has fewer pictures.
      seed: decides the halves.

    Raises:
      DataError: no kind, or one of too few pictures or a single patient.
    """
    if not pictures:
        raise DataError('there is no kind to build exemplars of.')
    chosen: dict[str, UInt8[np.ndarray, 'chosen 64 64']] = {}
    held_back: dict[str, UInt8[np.ndarray, 'calibrating 64 64']] = {}
    for place, (kind, own) in enumerate(pictures.items()):
        first, second = _halves(kind, own, np.random.default_rng([seed, place]))
        chosen[kind] = first[cover(first, per_kind)]
        held_back[kind] = second
    return Exemplars(
        kinds=tuple(pictures),
        modalities=tuple(_modality(own) for own in pictures.values()),
        pictures=np.concatenate(list(chosen.values())),
        owners=np.repeat(np.arange(len(chosen), dtype=np.int64), [len(own) for own in chosen.values()]),
        thresholds={
            measure: np.array([_threshold(measure, held_back[kind], chosen[kind]) for kind in chosen])
            for measure in MEASURES
        },
    )


def _threshold(
    measure: str, pictures: UInt8[np.ndarray, 'count 64 64'], exemplars: UInt8[np.ndarray, 'exemplars 64 64']
) -> float:
    """The likeness to the most alike exemplar that all but a share `FALSE_NONE` of the pictures reach."""
    likeness = compare(MEASURES[measure], pictures, MEASURES[measure].describe(exemplars))
    return float(np.quantile(likeness.max(axis=1), FALSE_NONE))


def _halves(
    kind: str, pictures: Sequence[Picture], generator: np.random.Generator
) -> tuple[UInt8[np.ndarray, 'first 64 64'], UInt8[np.ndarray, 'second 64 64']]:
    """Two halves without a patient in common, as even as patients allow."""
    by_patient: dict[str, list[UInt8[np.ndarray, '64 64']]] = collections.defaultdict(list)
    for picture in pictures:
        by_patient[picture.patient].append(picture.pixels)
    if len(pictures) < _FEWEST or len(by_patient) < 2:
        raise DataError(
            f'kind {kind!r} has {len(pictures)} pictures of {len(by_patient)} patients; exemplars and their '
            f'threshold need {_FEWEST} pictures of 2 patients at least.'
        )
    halves: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    patients = sorted(by_patient)
    for index in generator.permutation(len(patients)):
        min(halves, key=len).extend(by_patient[patients[index]])
    return np.stack(halves[0]), np.stack(halves[1])


def cover(pictures: UInt8[np.ndarray, 'count 64 64'], wanted: int) -> Int[np.ndarray, ' chosen']:
    """Pictures that together represent all: each step adds the one that raises the sum, over all pictures, of
    the correlation with the most alike chosen one by most (greedy facility location, within 1 - 1/e of the best
    choice: Nemhauser, Wolsey and Fisher, 1978)."""
    measure = MEASURES['correlation']
    described = measure.describe(pictures)
    likeness = measure.compare(described, described)
    covered = np.full(len(pictures), -1, np.float32)
    chosen: list[int] = []
    while len(chosen) < min(wanted, len(pictures)):
        gain = np.maximum(likeness, covered).sum(axis=1)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, likeness[chosen[-1]])
    return np.array(chosen)


def _modality(pictures: Sequence[Picture]) -> str:
    """The modality that nearly all pictures of a kind have, '' where there is none."""
    [(modality, count)] = collections.Counter(picture.modality for picture in pictures).most_common(1)
    return modality if modality != 'unknown' and count >= _MOST_COMMON_SHARE * len(pictures) else ''
