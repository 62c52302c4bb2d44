"""A finished detector at work: what it says of pictures and volumes, slice by slice and as a whole."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Float, Float64, Int

import input_pipeline
from detect.conformal import Answer, Evidence, decide, describe_unseen
from detect.detector import TrainedDetector
from detect.fusion import log_odds_at_prevalence
from detect.scoring import LOCATING
from detect.sheets import PatchSheet, find_hottest
from detect.stacks.detector import StackReader, open_stack
from detect.trained_network import Images
from detect.view import View, create_view
from foundation.statistics.conformal import conformal_p_values
from input_pipeline.placement import locate, placement

_STACK_SHARE = 0.05  # of the slices of a stack that decide about it: the most suspicious ones
_KIND_SHARE = 0.5  # of them that decide which kind of picture it is: one strange slice makes no other kind
PerKind = tuple[Float64[np.ndarray, ' slice'] | None, Float64[np.ndarray, ' slice'] | None]


@dataclasses.dataclass(frozen=True)
class PatchPlace:
    """A patch that was looked at.

    Attributes:
      row, column: of its first pixel, on the file's own grid.
      weight: its share in what follows from all patches of the slice.
    """

    row: int
    column: int
    weight: float


@dataclasses.dataclass(frozen=True)
class SliceScore:
    """What is said of a picture, or of one slice.

    Attributes:
      index: from 0 in the order of the case.
      probability: of being synthetic, calibrated, at the share of synthetic images in validation.
      anomaly_p: how often real validation images are as strange.
      row, column: pixel of the file's own grid that is the strangest.
      kind_p, made_kind_p: see `Evidence`.
      weight: share of the slice in what the stack detector says of the volume; None where it did not look.
      patches: that were looked at; () where it was seen as a whole.
    """

    index: int
    probability: float
    anomaly_p: float
    row: int
    column: int
    kind_p: float | None
    made_kind_p: float | None
    weight: float | None = None
    patches: tuple[PatchPlace, ...] = ()


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What is said of a case.

    Attributes:
      answer: real, synthetic or don't know.
      reason: one sentence, for "don't know".
      probability: of being synthetic, at the share of synthetic images in validation; None where nobody can tell.
      probability_at_prevalence: the same at the stated prevalence; None where none was stated.
      evidence: trace of synthesis, strangeness, and kind of picture, see there; None where nothing was looked at.
      error_level: at which the evidence was weighed.
      slices: each that was looked at.
      deciding: numbers of the slices that decided about the trace, the most suspicious one first.
      blank: numbers of the slices that were left out, since there is nothing in them.
      heat: where each slice is strange, 0 to 1 on the scale of the data, on the grid of `shown`.
      shown: the slices as the network sees them, in [-1, 1]; where it sees patches, as a whole, shrunk.
      looked_at: one sentence: which of the file's pixels, and how large they were made.
      note: one sentence, for images of another depth than the real ones of training: how they are shown.
      stack_probability: of a volume having been altered, calibrated, at the share of altered ones in validation;
        None for pictures, and without a stack detector.
      frames: first row, first column and side of each patch of each slice in `shown`.
    """

    answer: Answer
    reason: str | None
    probability: float | None
    probability_at_prevalence: float | None
    evidence: Evidence | None
    error_level: float
    slices: tuple[SliceScore, ...]
    heat: Float[np.ndarray, 'slice height width']
    shown: Images
    deciding: tuple[int, ...] = ()
    blank: tuple[int, ...] = ()
    looked_at: str = ''
    note: str | None = None
    stack_probability: float | None = None
    frames: tuple[Int[np.ndarray, 'patch 3'], ...] = ()


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
        view = create_view(case, self.detector)
        if isinstance(view, str):
            return self._abstain(view)
        side = self.detector.recipe.resolution
        parts = [self.detector.anomalies.score(self.detector.describe(own), side, side) for own in view.batches()]
        scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores}
        log_odds = self.detector.calibration.fuse(scores)
        if not np.isfinite(log_odds).all():
            return self._abstain('The network gives no finite score for it.')
        maps = self._spread(view, np.concatenate([part.maps for part in parts]))
        weights = np.concatenate([part.weights for part in parts if part.weights is not None])
        judgement = self._conclude(view, log_odds, scores[LOCATING], maps)
        judgement = _add_patches(judgement, view, weights, self.detector.recipe.sheet)
        blank = tuple(sorted(set(range(len(case.records))) - set(view.places)))
        judgement = dataclasses.replace(judgement, blank=blank)
        if self.stack is None or len(case.records) == 1:
            return judgement
        return _add_stack(judgement, self.stack, np.concatenate([part.pooled for part in parts]))

    def _spread(self, view: View, maps: Float[np.ndarray, 'slice _ _']) -> Float[np.ndarray, 'slice height width']:
        """Maps of what the network sees as maps of what people are shown."""
        sheet = self.detector.recipe.sheet
        if sheet is None:
            return maps
        rows = zip(maps, view.patches, view.records, strict=True)
        side = view.shown.shape[1]
        return np.stack([sheet.spread(own, places, each.image.shape[:2], side) for own, places, each in rows])

    def _find_layout(self) -> input_pipeline.Preprocessing:
        """How a record lies in what people are shown."""
        own, form = self.detector.recipe.data.request.preprocessing, self.detector.calibration.form
        return own if form.is_native else form.preprocessing

    def _abstain(self, reason: str) -> Judgement:
        nothing = np.zeros((0, 1, 1), np.float32)
        return Judgement("don't know", reason, None, None, None, self.error_level, (), nothing, nothing[..., None])

    def _conclude(
        self,
        view: View,
        log_odds: Float64[np.ndarray, ' slice'],
        strangeness: Float64[np.ndarray, ' slice'],
        maps: Float[np.ndarray, 'slice height width'],
    ) -> Judgement:
        deciding = np.argsort(-log_odds, kind='stable')[: max(1, math.ceil(_STACK_SHARE * len(log_odds)))]
        whole = log_odds[deciding].mean(keepdims=True)
        anomaly_p = conformal_p_values(np.array(self.detector.calibration.strangeness), strangeness)
        kind_p = self._find_kind_p_values(self.detector.recipe.overview(view.seen))
        evidence = self._combine(log_odds, anomaly_p, kind_p, len(deciding))
        verdict = decide(evidence, self.error_level)
        form = None if view.patches else self._find_layout()
        return Judgement(
            answer=verdict.answer,
            reason=verdict.reason,
            probability=float(scipy.special.expit(whole)[0]),
            probability_at_prevalence=self._at_prevalence(whole),
            evidence=evidence,
            error_level=self.error_level,
            slices=tuple(
                SliceScore(
                    place,
                    float(scipy.special.expit(log_odds[row])),
                    float(anomaly_p[row]),
                    *_place(maps[row], view.records[row], view.contents[row], form),
                    kind_p=None if kind_p[0] is None else float(kind_p[0][row]),
                    made_kind_p=None if kind_p[1] is None else float(kind_p[1][row]),
                )
                for row, place in enumerate(view.places)
            ),
            deciding=tuple(view.places[row] for row in deciding),
            heat=self.detector.calibration.heat(maps),
            shown=view.shown,
            looked_at=view.described,
            note=view.note,
        )

    def _combine(
        self,
        log_odds: Float64[np.ndarray, ' slice'],
        anomaly_p: Float64[np.ndarray, ' slice'],
        kind_p: PerKind,
        deciding: int,
    ) -> Evidence:
        """What is known of all slices together."""
        real_p, fake_p = self.detector.calibration.conformal.p_values(log_odds)
        most = math.ceil(_KIND_SHARE * len(log_odds))
        return Evidence(
            real_p=combine_p_values(real_p, deciding),
            fake_p=float(np.sort(fake_p)[::-1][deciding - 1]),
            anomaly_p=combine_p_values(anomaly_p, deciding),
            **{
                name: None if own is None else combine_p_values(own, most)
                for name, own in zip(('kind_p', 'made_kind_p'), kind_p, strict=True)
            },
        )

    def _find_kind_p_values(self, shown: Images) -> PerKind:
        kinds = self.detector.kinds
        if kinds is None:
            return None, None
        real, synthetic = self.detector.calibration.kind_p_values(kinds.score(shown))
        return real, synthetic

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


def _place(
    heat: Float[np.ndarray, 'side side'],
    record: input_pipeline.Record,
    content: tuple[slice, slice],
    form: input_pipeline.Preprocessing | None,
) -> tuple[int, int]:
    """The hottest pixel, on the grid of the file, of which the record holds the content.

    `form` says how the record lies in the map; None where it was shrunk alone, see `shrink`.
    """
    height, width = record.image.shape[:2]
    if form is None:
        row, column = find_hottest(heat, (height, width))
    else:
        shape = (height, width, len(heat), form.fit, form.scale(record.spacing))
        rows, columns = placement(*shape)
        inside = heat[rows, columns]
        row, column = map(int, np.unravel_index(inside.argmax(), inside.shape))
        row, column = locate((rows.start + row, columns.start + column), *shape)
    # A record of native pixels may have been shrunk itself.
    sides = ((part.stop - part.start) / size for part, size in zip(content, (height, width), strict=True))
    row, column = (int((own + 0.5) * side) for own, side in zip((row, column), sides, strict=True))
    return content[0].start + row, content[1].start + column


def _add_patches(
    judgement: Judgement, view: View, weights: Float[np.ndarray, 'slice patch'], sheet: PatchSheet | None
) -> Judgement:
    """Says where the patches of each slice lie in its file, and how much each weighed."""
    if sheet is None:
        return judgement
    side, rows = view.shown.shape[1], zip(view.patches, view.records, strict=True)
    frames = tuple(sheet.frame(places, record.image.shape[:2], side) for places, record in rows)
    slices = tuple(
        dataclasses.replace(one, patches=_place_patches(view, row, weights[row]))
        for row, one in enumerate(judgement.slices)
    )
    return dataclasses.replace(judgement, slices=slices, frames=frames)


def _place_patches(view: View, row: int, weights: Float[np.ndarray, ' patch']) -> tuple[PatchPlace, ...]:
    (rows, columns), shape = view.contents[row], view.records[row].image.shape
    scales = (rows.stop - rows.start) / shape[0], (columns.stop - columns.start) / shape[1]
    return tuple(
        PatchPlace(rows.start + round(top * scales[0]), columns.start + round(left * scales[1]), float(weight))
        for (top, left), weight in zip(view.patches[row].tolist(), weights, strict=True)
    )


def _add_stack(
    judgement: Judgement, stack: StackReader, features: Float[np.ndarray, 'slice feature']
) -> Judgement:
    probability, weights = stack.read(features)
    slices = tuple(
        dataclasses.replace(one, weight=None if np.isnan(weight) else float(weight))
        for one, weight in zip(judgement.slices, weights, strict=True)
    )
    return dataclasses.replace(judgement, stack_probability=probability, slices=slices)


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
    hidden = ('heat', 'shown', 'frames', 'evidence', 'error_level')
    own = {field.name: getattr(judgement, field.name) for field in dataclasses.fields(judgement)}
    evidence, level = judgement.evidence, judgement.error_level
    p_values = dict.fromkeys(field.name for field in dataclasses.fields(Evidence))
    return {name: value for name, value in own.items() if name not in hidden} | {
        **(p_values if evidence is None else dataclasses.asdict(evidence)),
        'evidence': describe_unseen() if evidence is None else evidence.describe(level),
        'deciding': list(judgement.deciding),
        'blank': list(judgement.blank),
        'slices': [dataclasses.asdict(one) for one in judgement.slices],
    }
