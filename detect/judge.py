"""A finished detector at work: what it says of pictures and volumes, slice by slice and as a whole."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Float, Float64

import input_pipeline
from detect.conformal import Answer, decide
from detect.detector import TrainedDetector
from detect.fusion import log_odds_at_prevalence
from detect.scoring import LOCATING
from detect.stacks.detector import StackReader, open_stack
from detect.trained_network import Images
from foundation.statistics.conformal import conformal_p_values
from input_pipeline import depth
from input_pipeline.cases import create_case
from input_pipeline.dataset.mixture import crop_record, deciding_side, unify_record
from input_pipeline.placement import locate, placement

_STACK_SHARE = 0.05  # of the slices of a stack that decide about it: the most suspicious ones
_SLICES_AT_A_TIME = 32
Window = str | tuple[float, float]


@dataclasses.dataclass(frozen=True)
class SliceScore:
    """What is said of a picture, or of one slice.

    Attributes:
      index: from 0 in the order of the case.
      probability: of being synthetic, calibrated, at the share of synthetic images in validation.
      anomaly_p: how often real validation images are as strange.
      row, column: pixel of the file's own grid that is the strangest.
      weight: share of the slice in what the stack detector says of the volume; None where it did not look.
    """

    index: int
    probability: float
    anomaly_p: float
    row: int
    column: int
    weight: float | None = None


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What is said of a case.

    Attributes:
      answer: real, synthetic or don't know.
      reason: one sentence, for "don't know".
      probability: of being synthetic, at the share of synthetic images in validation; None where nobody can tell.
      probability_at_prevalence: the same at the stated prevalence; None where none was stated.
      anomaly_p: how often real validation images are as strange.
      real_p, fake_p: conformal p values.
      slices: each of them.
      heat: where each slice is strange, 0 to 1 on the scale of the data, on the grid the network sees.
      shown: the slices as the network sees them, in [-1, 1].
      looked_at: one sentence: which of the file's pixels, and how large they were made.
      note: one sentence, for images of another depth than the real ones of training: how they are shown.
      stack_probability: of a volume having been altered, calibrated, at the share of altered ones in validation;
        None for pictures, and without a stack detector.
    """

    answer: Answer
    reason: str | None
    probability: float | None
    probability_at_prevalence: float | None
    anomaly_p: float | None
    real_p: float | None
    fake_p: float | None
    slices: tuple[SliceScore, ...]
    heat: Float[np.ndarray, 'slice height width']
    shown: Images
    looked_at: str = ''
    note: str | None = None
    stack_probability: float | None = None


@dataclasses.dataclass(frozen=True)
class Judge:
    """A detector that answers.

    Attributes:
      detector: what it goes by.
      error_level: share of real images that may be called synthetic, and of synthetic ones called real.
      prevalence: share of synthetic images where it is used; None where nobody says.
      stack: what reads volumes as a whole; None without.
    """

    detector: TrainedDetector
    error_level: float
    prevalence: float | None
    stack: StackReader | None = None

    def judge(self, case: input_pipeline.Case) -> Judgement:
        """Judges a picture or a volume.

        Raises:
          DataError: when its images cannot be made like those of training for another reason than their kind.
        """
        doubt = self._find_doubt(case)
        if doubt:
            return _unknown(doubt)
        window, note = self._choose_window(case.records[0])
        contents = tuple(map(self.detector.calibration.form.find_content, case.records))
        records = tuple(map(crop_record, case.records, contents))
        side, shown = self.detector.recipe.resolution, list(self._batches(records, window))
        parts = [self.detector.anomalies.score(self.detector.describe(batch), side, side) for batch in shown]
        scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores}
        log_odds = self.detector.calibration.fuse(scores)
        if not np.isfinite(log_odds).all():
            return _unknown('The network gives no finite score for it.')
        maps = np.concatenate([part.maps for part in parts])
        form = self.detector.calibration.form.preprocessing
        places = [_place(*each, form) for each in zip(maps, records, contents, strict=True)]
        judgement = self._conclude(places, log_odds, scores[LOCATING], maps, np.concatenate(shown))
        judgement = dataclasses.replace(judgement, note=note, looked_at=self._describe_content(case, contents[0]))
        if self.stack is None or len(case.records) == 1:
            return judgement
        return _add_stack(judgement, self.stack, np.concatenate([part.pooled for part in parts]))

    def _find_doubt(self, case: input_pipeline.Case) -> str:
        """Why nothing can be said of it; '' where something can."""
        modality, known = case.records[0].modality, set(self.detector.calibration.modalities) - {'unknown'}
        if modality not in (*known, 'unknown') and known:
            return f'It is {modality}, and the detector was trained on {", ".join(sorted(known))} alone.'
        form = self.detector.calibration.form.preprocessing
        side = min(_deciding_side(record, form) for record in case.records)
        if side < form.resolution:
            kind = 'longer' if form.fit == 'pad' else 'shorter'
            return f'It has {side:g} pixels along its {kind} side, and the detector needs {form.resolution}.'
        return ''

    def _choose_window(self, record: input_pipeline.Record) -> tuple[Window | None, str | None]:
        """The window of an image of another depth than the real ones of training, and what to say; else None."""
        calibration, form = self.detector.calibration, self.detector.calibration.form
        trained = calibration.depths or (('uint16',) if form.depth > 8 else ())
        wanted = form.preprocessing.window
        if not isinstance(wanted, str) and depth.is_measured(record):
            fits = depth.is_shown(record, wanted, trained)
        else:
            has_range = wanted != 'stored' or record.image.dtype.kind == 'u'
            fits = has_range and not depth.differs(record.image.dtype, trained)
        if fits:
            return None, None
        # Pictures of 8 bits were shown in their whole range beside deeper ones, see `MixtureForm`.
        window = 'stored' if record.image.dtype == np.uint8 and form.depth == 8 else depth.OWN
        return window, depth.describe(record, window, trained, whose='real training images')

    def _batches(self, records: Sequence[input_pipeline.Record], window: Window | None) -> Iterator[Images]:
        """So many slices at a time, and the rest one by one: two shapes in all, so that little is compiled."""
        whole = len(records) // _SLICES_AT_A_TIME * _SLICES_AT_A_TIME
        for start in range(0, whole, _SLICES_AT_A_TIME):
            yield self._prepare(records[start : start + _SLICES_AT_A_TIME], window)
        for record in records[whole:]:
            yield self._prepare([record], window)

    def _prepare(self, records: Sequence[input_pipeline.Record], window: Window | None) -> Images:
        """As the records of training were stored, and then read; what is judged passes for real on its way."""
        form = dataclasses.replace(self.detector.calibration.form, borders='kept')  # they are cut already
        stored = [unify_record(record, form, is_real=True, window=window) for record in records]
        reading = self.detector.recipe.data.request.preprocessing
        return input_pipeline.preprocess_case(create_case(stored), reading, None)

    def _conclude(
        self,
        places: Sequence[tuple[int, int]],
        log_odds: Float64[np.ndarray, ' slice'],
        strangeness: Float64[np.ndarray, ' slice'],
        maps: Float[np.ndarray, 'slice height width'],
        shown: Images,
    ) -> Judgement:
        calibration = self.detector.calibration
        anomaly_p = conformal_p_values(np.array(calibration.strangeness), strangeness)
        real_p, fake_p = calibration.conformal.p_values(log_odds)
        deciding = max(1, math.ceil(_STACK_SHARE * len(log_odds)))
        whole_real, whole_anomaly = (combine_p_values(p, deciding) for p in (real_p, anomaly_p))
        whole_fake = float(np.sort(fake_p)[::-1][deciding - 1])
        whole = np.sort(log_odds)[::-1][:deciding].mean(keepdims=True)
        verdict = decide(whole_real, whole_fake, self.error_level, anomaly_p=whole_anomaly)
        return Judgement(
            answer=verdict.answer,
            reason=verdict.reason,
            probability=float(scipy.special.expit(whole)[0]),
            probability_at_prevalence=self._at_prevalence(whole),
            anomaly_p=whole_anomaly,
            real_p=whole_real,
            fake_p=whole_fake,
            slices=tuple(
                SliceScore(index, float(p), float(own), *place)
                for index, (p, own, place) in enumerate(
                    zip(scipy.special.expit(log_odds), anomaly_p, places, strict=True)
                )
            ),
            heat=calibration.heat(maps),
            shown=shown,
        )

    def _describe_content(self, case: input_pipeline.Case, content: tuple[slice, slice]) -> str:
        """Which pixels were looked at, of the first slice, and what they were made for the network."""
        side, (height, width) = self.detector.recipe.resolution, case.records[0].image.shape[:2]
        shown, (rows, columns) = f'made {side} x {side} pixels', content
        if len(case.records) > 1:
            is_cut = self.detector.calibration.form.borders == 'cut'
            within = ', each within its borders of one grey value' if is_cut else ''
            return f'{len(case.records)} slices of {height} x {width} pixels{within}, {shown}.'
        if (rows.stop - rows.start, columns.stop - columns.start) == (height, width):
            return f'All {height} x {width} pixels, {shown}.'
        return (
            f'Rows {rows.start} to {rows.stop - 1} and columns {columns.start} to {columns.stop - 1} of '
            f'{height} x {width} pixels, counted from 0, {shown}; around them is a border of one grey value, '
            'which was cut off.'
        )

    def _at_prevalence(self, log_odds: Float64[np.ndarray, ' case']) -> float | None:
        if self.prevalence is None:
            return None
        moved = log_odds_at_prevalence(
            log_odds, prevalence=self.prevalence, fitted_prevalence=self.detector.calibration.prevalence
        )
        return float(scipy.special.expit(moved)[0])


def combine_p_values(p_values: Float64[np.ndarray, ' slice'], deciding: int) -> float:
    """One p value of many that may depend on each other: n/k times the k-th smallest, at most 1 (Rüger 1978).

    With k a share of the slices it can become small however many slices there are, unlike Bonferroni's, whose
    smallest possible value grows with them; it asks for that share of the slices to be suspicious.
    """
    return float(min(1.0, len(p_values) / deciding * np.sort(p_values)[deciding - 1]))


def _deciding_side(record: input_pipeline.Record, form: input_pipeline.Preprocessing) -> float:
    height, width = record.image.shape[:2]
    return deciding_side(height, width, form.fit, form.scale(record.spacing))


def _place(
    heat: Float[np.ndarray, 'side side'],
    record: input_pipeline.Record,
    content: tuple[slice, slice],
    form: input_pipeline.Preprocessing,
) -> tuple[int, int]:
    """The hottest pixel, on the grid of the file, of which the record holds the content."""
    shape = (*record.image.shape[:2], len(heat), form.fit, form.scale(record.spacing))
    rows, columns = placement(*shape)
    inside = heat[rows, columns]
    row, column = map(int, np.unravel_index(inside.argmax(), inside.shape))
    row, column = locate((rows.start + row, columns.start + column), *shape)
    return content[0].start + row, content[1].start + column


def _add_stack(
    judgement: Judgement, stack: StackReader, features: Float[np.ndarray, 'slice feature']
) -> Judgement:
    probability, weights = stack.read(features)
    slices = tuple(
        dataclasses.replace(one, weight=None if np.isnan(weight) else float(weight))
        for one, weight in zip(judgement.slices, weights, strict=True)
    )
    return dataclasses.replace(judgement, stack_probability=probability, slices=slices)


def _unknown(reason: str) -> Judgement:
    nothing = np.zeros((0, 1, 1), np.float32)
    return Judgement("don't know", reason, None, None, None, None, None, (), nothing, nothing[..., None])


def open_judge(
    workdir: Path, *, error_level: float, prevalence: float | None, batch_size: int, stack: Path | None = None
) -> Judge:
    """The finished detector of a workdir, ready to answer.

    Args:
      workdir: of the detector of images.
      error_level, prevalence: see `Judge`.
      batch_size: images that it looks at together.
      stack: workdir of a finished stack detector, trained on slices as this detector describes them.

    Raises:
      UserError: when one is not finished or damaged, or cannot keep the error level; for an impossible prevalence.
    """
    detector = TrainedDetector.load(workdir, batch_size=batch_size)
    calibration = detector.calibration
    calibration.conformal.check_level(error_level)
    if prevalence is not None:
        log_odds_at_prevalence(np.zeros(1), prevalence=prevalence, fitted_prevalence=calibration.prevalence)
    reader = None if stack is None else open_stack(stack, detector.checksum)
    return Judge(detector, error_level, prevalence, reader)


def describe_judgement(judgement: Judgement) -> dict[str, Any]:
    """The judgement as JSON has it, without pictures."""
    hidden = ('heat', 'shown')
    own = {field.name: getattr(judgement, field.name) for field in dataclasses.fields(judgement)}
    return {name: value for name, value in own.items() if name not in hidden} | {
        'slices': [dataclasses.asdict(one) for one in judgement.slices]
    }
