"""What the answers of a study say; a generated case is positive, and 4 to 6 on the scale call it generated."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int

from foundation.statistics import readers as means
from foundation.statistics.agreement import cohen_kappa
from foundation.statistics.jackknife import Missing
from foundation.statistics.proportions import exact_interval
from gan.reading.answers import AnswerSheet
from gan.reading.plan import CaseTruth, StudyPlan

CALLED_GENERATED = 4  # and above
KINDS = ('all', 'real', 'generated')
Ends = tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class ReadShare:
    """A share, or an area under a curve.

    Attributes:
      value: None where nothing was answered.
      interval: at the level 1 - alpha; None where it cannot be told.
    """

    value: float | None
    interval: Ends


@dataclasses.dataclass(frozen=True)
class Reading:
    """How well cases were told apart, by one reader or by several.

    Attributes:
      cases: that were answered.
      accuracy: mean of sensitivity and specificity; for one reader, the share of right answers.
      sensitivity, specificity: right answers among generated and among real cases.
      area: under the ROC curve of the confidence.
      equivalence: interval of the accuracy at the level 1 - 2 alpha.
    """

    cases: int
    accuracy: ReadShare
    sensitivity: ReadShare
    specificity: ReadShare
    area: ReadShare
    equivalence: Ends


@dataclasses.dataclass(frozen=True)
class CallAgreement:
    """Of two series of calls, real or generated.

    Attributes:
      cases: that both have.
      same: share of the same call.
      kappa: Cohen's.
      reason: why there is no kappa; '' where there is one.
    """

    cases: int
    same: ReadShare
    kappa: ReadShare
    reason: str


@dataclasses.dataclass(frozen=True)
class ReaderResult:
    """All of one reader.

    Attributes:
      reading: of all cases.
      by_class: of the cases of each class, where there are several.
      own: agreement with oneself on repeated cases, by `KINDS`.
      seconds: quartiles of the time of a case, by truth.
      complete: whether all cases were answered.
    """

    reading: Reading
    by_class: Mapping[str, Reading]
    own: Mapping[str, CallAgreement]
    seconds: Mapping[str, tuple[float, float, float] | None]
    complete: bool


@dataclasses.dataclass(frozen=True, eq=False)
class StudyAnswers:
    """Answers by reader and case.

    Attributes:
      generated: the truth of each case.
      labels: class of each case; '' without one.
      confidence: 1 to 6 at first sight; 0 where there is no answer.
      seconds: of the first sight; NaN where there is no answer.
      again: of each reader, case and second confidence of repeated ones.
      complete: of each reader, whether all was answered.
    """

    generated: Bool[np.ndarray, ' case']
    labels: np.ndarray
    confidence: Int[np.ndarray, 'reader case']
    seconds: Float64[np.ndarray, 'reader case']
    again: Sequence[Int[np.ndarray, '_ 2']]
    complete: Sequence[bool]

    @property
    def called(self) -> Bool[np.ndarray, 'reader case']:
        """Whether each case was called generated."""
        return self.confidence >= CALLED_GENERATED

    @property
    def common(self) -> Bool[np.ndarray, ' case']:
        """Whether all readers answered."""
        return (self.confidence > 0).all(axis=0)


def collect_answers(truth: Sequence[CaseTruth], sheets: Sequence[AnswerSheet]) -> StudyAnswers:
    """Puts answers in the order of the cases."""
    shape = len(sheets), len(truth)
    confidence, seconds = np.zeros(shape, int), np.full(shape, np.nan)
    again: list[np.ndarray] = []
    for reader, sheet in enumerate(sheets):
        second = []
        for answer in sheet.answers:
            if confidence[reader, answer.case]:
                second.append((answer.case, answer.confidence))
                continue
            confidence[reader, answer.case] = answer.confidence
            seconds[reader, answer.case] = answer.seconds
        again.append(np.array(second, int).reshape(-1, 2))
    return StudyAnswers(
        np.array([case.generated for case in truth]),
        np.array([case.label for case in truth]),
        confidence,
        seconds,
        again,
        [sheet.is_complete for sheet in sheets],
    )


def judge_reader(answers: StudyAnswers, reader: int, plan: StudyPlan) -> ReaderResult:
    """What one reader's answers say."""
    known, generated = answers.confidence[reader] > 0, answers.generated
    classes = np.unique(answers.labels)
    cases, second = answers.again[reader].T
    calls = answers.called[reader][cases], second >= CALLED_GENERATED
    return ReaderResult(
        reading=read_alone(answers, reader, known, plan.alpha),
        by_class={
            str(name): read_alone(answers, reader, known & (answers.labels == name), plan.alpha)
            for name in (classes if len(classes) > 1 else ())
        },
        own=_agree_by_kind(*calls, generated[cases], plan.alpha),
        seconds={kind: _quartiles(answers.seconds[reader][known & _of_kind(generated, kind)]) for kind in KINDS},
        complete=answers.complete[reader],
    )


def read_alone(answers: StudyAnswers, reader: int, chosen: Bool[np.ndarray, ' case'], alpha: float) -> Reading:
    """One reader's answers to some cases; intervals of shares are Clopper and Pearson's."""
    generated = answers.generated[chosen]
    right = answers.called[reader][chosen] == generated
    area = ReadShare(None, None)
    if min(generated.sum(), (~generated).sum()) >= 2:
        mean = means.average_area(answers.confidence[[reader]][:, chosen].astype(float), generated)
        area = ReadShare(mean.value, means.area_ends(mean, mean.of_cases, alpha / 2))
    return Reading(
        cases=len(right),
        accuracy=count_share(right, alpha),
        sensitivity=count_share(right[generated], alpha),
        specificity=count_share(right[~generated], alpha),
        area=area,
        equivalence=count_share(right, 2 * alpha).interval,
    )


def count_share(right: Bool[np.ndarray, ' case'], alpha: float) -> ReadShare:
    """A share of independent cases with its interval at the level 1 - alpha (Clopper and Pearson 1934)."""
    if not len(right):
        return ReadShare(None, None)
    hits = int(right.sum())
    return ReadShare(hits / len(right), exact_interval(hits, len(right) - hits, alpha / 2))


def read_together(
    answers: StudyAnswers, chosen: Bool[np.ndarray, ' case'], alpha: float, *, other_readers: bool
) -> Reading | None:
    """The mean over readers of the cases that all answered, see `statistics.readers`.

    Args:
      answers: of two readers or more.
      chosen: which cases.
      alpha: see `StudyPlan`.
      other_readers: whether intervals are for other readers like these, or for these.

    Returns:
      None where a class has fewer than two cases.
    """
    chosen = chosen & answers.common
    generated = answers.generated[chosen]
    if min(generated.sum(), (~generated).sum()) < 2:
        return None
    right = answers.called[:, chosen] == generated

    def share(kept: Bool[np.ndarray, ' case'], tail: float) -> ReadShare:
        mean = means.average_share(right[:, kept], generated[kept].astype(int))
        return ReadShare(mean.value, means.share_ends(mean, _uncertainty(mean, other_readers), tail))

    area = means.average_area(answers.confidence[:, chosen].astype(float), generated)
    return Reading(
        cases=len(generated),
        accuracy=share(np.ones_like(generated), alpha / 2),
        sensitivity=share(generated, alpha / 2),
        specificity=share(~generated, alpha / 2),
        area=ReadShare(area.value, means.area_ends(area, _uncertainty(area, other_readers), alpha / 2)),
        equivalence=share(np.ones_like(generated), alpha).interval,
    )


def _uncertainty(mean: means.ReaderMean, other_readers: bool) -> means.Uncertainty:
    return mean.of_both if other_readers and mean.of_both is not None else mean.of_cases


def agree_between(answers: StudyAnswers, first: int, second: int, alpha: float) -> dict[str, CallAgreement]:
    """Of two readers, on the cases that both answered, by `KINDS`."""
    both = (answers.confidence[[first, second]] > 0).all(axis=0)
    calls = answers.called[[first, second]][:, both]
    return _agree_by_kind(calls[0], calls[1], answers.generated[both], alpha)


def _agree_by_kind(
    first: Bool[np.ndarray, ' case'],
    second: Bool[np.ndarray, ' case'],
    generated: Bool[np.ndarray, ' case'],
    alpha: float,
) -> dict[str, CallAgreement]:
    found = {}
    for kind in KINDS:
        kept = _of_kind(generated, kind)
        kappa, reason = cohen_kappa(first[kept].astype(int), second[kept].astype(int), 2), ''
        shown = ReadShare(None, None)
        if isinstance(kappa, Missing):
            reason = kappa.reason
        else:
            shown = ReadShare(kappa.value, kappa.interval(1 - alpha) if kappa.standard_error > 0 else None)
        found[kind] = CallAgreement(int(kept.sum()), count_share((first == second)[kept], alpha), shown, reason)
    return found


def _of_kind(generated: Bool[np.ndarray, ' case'], kind: str) -> Bool[np.ndarray, ' case']:
    return np.ones_like(generated) if kind == 'all' else generated == (kind == 'generated')


def _quartiles(seconds: Float64[np.ndarray, ' case']) -> tuple[float, float, float] | None:
    if not len(seconds):
        return None
    low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def conclude(who: str, reading: Reading, margin: float, alpha: float) -> str:
    """What accuracy and area allow to say of chance, in sentences that follow from the intervals alone.

    Args:
      who: whose accuracy it is, as the subject of a sentence: `Reader 1`.
      reading: of theirs.
      margin, alpha: see `StudyPlan`.
    """
    if reading.accuracy.interval is None or reading.equivalence is None:
        return f'{who}: nothing can be said yet.'
    (low, high), (inner, outer) = reading.accuracy.interval, reading.equivalence
    equivalent, apart = 0.5 - margin < inner and outer < 0.5 + margin, low > 0.5 or high < 0.5
    value = reading.accuracy.value
    told = f'{who}: {value:.1%} right, {1 - alpha:.0%} interval {low:.1%} to {high:.1%}'
    two_sided = f'{1 - 2 * alpha:.0%} interval {inner:.1%} to {outer:.1%}, margin {margin:.0%}'
    if apart:
        side = 'better than chance' if low > 0.5 else 'worse than chance: kinds are seen, and taken for each other'
        told += f'. This is {side}'
        told += f', but by less than the margin ({two_sided}).' if equivalent else '.'
    elif equivalent:
        told += f'. This is equivalent to chance ({two_sided}).'
    else:
        told += f'. Undecided: neither a difference from chance nor equivalence to it is shown ({two_sided}).'
    area = reading.area.interval
    if area is not None and not apart and not area[0] <= 0.5 <= area[1]:
        told += (
            ' Yet the confidence ranks the two kinds apart: the area under its ROC curve is '
            f'{reading.area.value:.2f} ({area[0]:.2f} to {area[1]:.2f}), and 0.5 would be chance.'
        )
    return told


def find_worst(answers: StudyAnswers) -> tuple[list[int], list[int]]:
    """Generated cases that all readers called real, and real ones that all called generated, the surest first."""
    mean = answers.confidence.mean(axis=0)
    fooled = answers.common & answers.generated & ~answers.called.any(axis=0)
    missed = answers.common & ~answers.generated & answers.called.all(axis=0)
    order = np.argsort(mean, kind='stable')
    return (
        [int(case) for case in order if fooled[case]],
        [int(case) for case in order[::-1] if missed[case]],
    )


def roc_points(
    confidence: Int[np.ndarray, ' case'], generated: Bool[np.ndarray, ' case']
) -> Float64[np.ndarray, '7 2']:
    """False and true positive rate when cases from 7, 6, ... 1 on the scale are called generated."""
    calls = confidence >= np.arange(7, 0, -1)[:, None]
    return np.stack([calls[:, ~generated].mean(axis=1), calls[:, generated].mean(axis=1)], axis=1)
