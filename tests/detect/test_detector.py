"""A finished detector at work: the same answers as on its data, stacks, places, and when it does not know."""

import dataclasses
import json
import math

import numpy as np
import pytest
import scipy.special

from detect.calibration import score_split
from detect.conformal import Evidence, decide
from detect.judge import Judge, combine_p_values, describe_judgement, open_judge
from detect.recipe import create_recipe
from detect.scoring import LOCATING, Anomalies, Scored
from foundation.statistics.conformal import conformal_p_values
from input_pipeline.cases import Case, create_case
from input_pipeline.dataset.items import open_splits
from input_pipeline.records import Record
from tests.detect import drawn
from tests.input_pipeline.names import pseudonym


@pytest.fixture(scope='module')
def scored(judge, create_config):
    """Fused scores of the test split by key, as `detect.evaluate` finds them."""
    images = create_recipe(create_config()).data.open('test', train=False)
    scores = score_split(judge.detector, judge.detector.anomalies, images).scores
    return dict(zip(images.records.keys, judge.detector.calibration.fuse(scores), strict=True))


@pytest.fixture(scope='module')
def reals(detector_data) -> list[Record]:
    """Real test images as they were before they were made alike: 64x64, 16 bits."""
    split = open_splits('reals', detector_data)['test']
    return [split.read(index) for index in range(len(split.records))]


def _record(image, modality='unknown') -> Record:
    """A picture as readers give it."""
    image = np.asarray(image)
    largest = float(np.iinfo(image.dtype).max)
    window = float(image.min()), float(image.max())
    return Record(
        key='a',
        image=image if image.ndim == 3 else image[..., None],
        patient='a',
        modality=modality,
        label=None,
        mask=None,
        intensity=(0.0, largest),
        window=window,
        spacing=(0.0, 0.0, 0.0),
        source='a.png',
    )


def _stack(records) -> Case:
    return Case('stack', 'patient', tuple(dataclasses.replace(r, modality='CT') for r in records))


def _log_odds(judgement):
    return scipy.special.logit([one.probability for one in judgement.slices])


def test_files_get_the_scores_that_their_images_got_in_the_data(judge, reals, scored):
    for record in reals[:6]:
        judgement = judge.judge(create_case([record]))
        assert _log_odds(judgement)[0] == pytest.approx(scored[f'real/reals/{record.key}'], abs=1e-3)
        assert judgement.probability == judgement.slices[0].probability


def test_generated_pictures_get_the_scores_that_they_got_in_the_data(judge, scored):
    for number, picture in enumerate(drawn.draw_pictures(1, 'test')[:6]):
        judgement = judge.judge(create_case([_record(drawn.add_blocks(picture, number))]))
        assert _log_odds(judgement)[0] == pytest.approx(
            scored[f'blocks/{pseudonym("test")}/{number:03d}'], abs=1e-3
        )


def test_verdicts_are_wrong_as_rarely_as_promised(judge, reals):
    """At 10%: of 24 real and 24 synthetic images, more than 7 of either with a probability of 0.2%."""
    fakes = [drawn.add_blocks(picture, n) for n, picture in enumerate(drawn.draw_pictures(1, 'test'))]
    fakes += [drawn.add_noise(picture, n) for n, picture in enumerate(drawn.draw_pictures(2, 'test'))]
    real_answers = [judge.judge(create_case([record])).answer for record in reals]
    fake_answers = [judge.judge(create_case([_record(picture)])).answer for picture in fakes]
    assert len(real_answers) == len(fake_answers) == 24
    assert real_answers.count('synthetic') <= 7
    assert fake_answers.count('real') <= 7
    assert real_answers.count('real') >= 8
    assert fake_answers.count('synthetic') >= 8


def test_a_picture_is_decided_by_its_p_values(judge, reals):
    conformal = judge.detector.calibration.conformal
    for record in reals[:8]:
        judgement = judge.judge(create_case([record]))
        log_odds, evidence = _log_odds(judgement), judgement.evidence
        real_p = conformal_p_values(np.array(conformal.reals), log_odds)[0]
        fake_p = conformal_p_values(-np.array(conformal.fakes), -log_odds)[0]
        assert (evidence.real_p, evidence.fake_p) == pytest.approx((real_p, fake_p), abs=1 / 25 + 1e-9)
        assert judgement.answer == decide(evidence, 0.1).answer
        assert (judgement.reason is None) == (judgement.answer != "don't know")
        (one,) = judgement.slices
        for name in ('anomaly_p', 'kind_p', 'made_kind_p'):
            assert getattr(evidence, name) == getattr(one, name)


@pytest.mark.parametrize('value', [0, 2**16 - 1])
@pytest.mark.parametrize('spare', [((2, 2), (2, 2)), ((0, 0), (30, 30)), ((100, 0), (0, 7))])
def test_a_border_changes_no_answer_and_is_told(judge, reals, value, spare):
    record = reals[0]
    padded = np.pad(record.image, [*spare, (0, 0)], constant_values=value)
    plain = _record(record.image)
    bordered = dataclasses.replace(_record(padded), window=plain.window)
    own, other = (judge.judge(create_case([each])) for each in (plain, bordered))
    np.testing.assert_array_equal(own.shown, other.shown)
    assert (own.answer, own.probability, own.evidence) == (other.answer, other.probability, other.evidence)
    (top, _), (left, _) = spare
    assert other.slices[0].row == own.slices[0].row + top
    assert other.slices[0].column == own.slices[0].column + left
    side = judge.detector.recipe.resolution
    assert own.looked_at == f'All 64 x 64 pixels, made {side} x {side} pixels.'
    rows, columns = (f'{first} to {first + 63}' for first in (top, left))
    assert other.looked_at.startswith(
        f'Rows {rows} and columns {columns} of {len(padded)} x {len(padded[0])} pixels'
    )


def test_what_is_unlike_all_real_images_is_not_called_real():
    assert decide(Evidence(0.5, 0.01, 0.06, 0.06, 0.01), 0.05).answer == 'real'
    strange = decide(Evidence(0.5, 0.01, 0.05, 0.06, 0.5), 0.05)
    assert strange.answer == "don't know"
    assert 'unlike the real images' in strange.reason
    assert decide(Evidence(0.01, 0.5, 0.01, 0.01, 0.06), 0.05).answer == 'synthetic'


def test_nothing_is_said_of_a_kind_that_was_not_trained_on():
    for evidence in (Evidence(0.5, 0.01, 0.5, 0.05, 0.05), Evidence(0.01, 0.5, 0.5, 0.05, 0.01)):
        verdict = decide(evidence, 0.05)
        assert verdict.answer == "don't know"
        assert 'unlike every kind of picture' in verdict.reason
    verdict = decide(Evidence(0.5, 0.01, 0.5, 0.05, 0.5), 0.05)
    assert verdict.answer == "don't know"
    assert 'only synthetic pictures of its kind' in verdict.reason


def test_a_detector_that_never_looked_at_kinds_calls_nothing_real():
    verdict = decide(Evidence(0.5, 0.01, 0.5, None, None), 0.05)
    assert verdict.answer == "don't know"
    assert 'run its training command again' in verdict.reason
    assert decide(Evidence(0.01, 0.5, 0.5, None, None), 0.05).answer == 'synthetic'


def test_three_pieces_of_evidence_are_told_apart():
    told = Evidence(0.5, 0.01, 0.02, 0.3, 0.02).describe(0.05)
    assert [told['trace']['found'], told['strangeness']['found'], told['kind']['known']] == [False, True, True]
    told = Evidence(0.01, 0.5, 0.3, 0.02, 0.02).describe(0.05)
    assert [told['trace']['found'], told['strangeness']['found'], told['kind']['known']] == [True, False, False]
    told = Evidence(0.5, 0.5, 0.3, None, None).describe(0.05)
    assert [told['trace']['found'], told['strangeness']['found'], told['kind']['known']] == [None, False, None]


def test_odds_at_the_stated_prevalence(judge, reals, detector_workdir):
    judgement = judge.judge(create_case(reals[:1]))
    odds = judgement.probability / (1 - judgement.probability)
    expected = (
        odds
        * (0.01 / 0.99)
        / (judge.detector.calibration.prevalence / (1 - judge.detector.calibration.prevalence))
    )
    assert judgement.probability_at_prevalence == pytest.approx(expected / (1 + expected))
    silent = open_judge(detector_workdir, error_level=0.1, prevalence=None, batch_size=8)
    again = silent.judge(create_case(reals[:1]))
    assert again.probability_at_prevalence is None
    assert again.probability == pytest.approx(judgement.probability)


@pytest.mark.parametrize('slices', [2, 21, 40])
def test_the_most_suspicious_twentieth_decides_about_a_stack(judge, reals, slices):
    records = [reals[number % len(reals)] for number in range(slices - 1)]
    fake = drawn.add_blocks(drawn.draw_pictures(1, 'test')[0], 0)[..., None].astype(np.uint16) * 16
    case = _stack([*records, dataclasses.replace(records[0], image=fake)])
    judgement = judge.judge(case)
    assert [one.index for one in judgement.slices] == list(range(slices))
    deciding = math.ceil(0.05 * slices)
    log_odds = _log_odds(judgement)
    highest = np.sort(log_odds)[-deciding:].mean()
    assert judgement.probability == pytest.approx(scipy.special.expit(highest), rel=1e-6)
    anomaly_p = np.sort([one.anomaly_p for one in judgement.slices])
    evidence = judgement.evidence
    assert evidence.anomaly_p == pytest.approx(min(1.0, slices / deciding * anomaly_p[deciding - 1]))
    real_p = np.sort(conformal_p_values(np.array(judge.detector.calibration.conformal.reals), log_odds))
    assert evidence.real_p == pytest.approx(min(1.0, slices / deciding * real_p[deciding - 1]))
    assert evidence.fake_p >= 1 / 25
    half = math.ceil(slices / 2)
    kind_p = np.sort([one.kind_p for one in judgement.slices])
    assert evidence.kind_p == pytest.approx(min(1.0, slices / half * kind_p[half - 1]))
    assert judgement.deciding == tuple(np.argsort(-log_odds, kind='stable')[:deciding])
    assert judgement.shown.shape == (slices, 32, 32, 1)
    assert judgement.heat.shape == (slices, 32, 32)


@pytest.mark.parametrize(
    ('p_values', 'deciding', 'expected'),
    [
        ([0.3], 1, 0.3),
        ([0.01, 0.5], 1, 0.02),
        ([0.5, 0.9], 1, 1.0),
        ([0.04, 0.9, 0.02, 0.8], 2, 0.08),
        ([0.01] * 40, 2, 0.2),
    ],
)
def test_p_values_of_slices_are_combined_by_the_k_th_smallest(p_values, deciding, expected):
    assert combine_p_values(np.array(p_values), deciding) == pytest.approx(expected)


@pytest.mark.parametrize('shared', [0.0, 0.9, 1.0])
def test_a_combined_p_value_is_no_smaller_than_it_should_be(shared):
    """Of slices that have nothing, much, or all in common, a share of alpha at most has p <= alpha."""
    draws = np.random.default_rng(0).standard_normal((4000, 41))
    mixed = np.sqrt(shared) * draws[:, :1] + np.sqrt(1 - shared) * draws[:, 1:]
    combined = np.array([combine_p_values(own, 2) for own in scipy.special.ndtr(mixed)])
    for level in (0.01, 0.05, 0.2):
        assert (combined <= level).mean() <= level + 3 * np.sqrt(level / 4000)


@pytest.mark.parametrize(
    ('modality', 'shape', 'dtype', 'reason'),
    [
        ('DX', (64, 64), np.uint8, 'It is DX, and the detector was trained on CT, MR alone.'),
        ('CT', (63, 40), np.uint8, 'It has 63 pixels along its longer side, and the detector needs 64.'),
        ('unknown', (10, 10), np.uint16, 'It has 10 pixels along its longer side, and the detector needs 64.'),
    ],
)
def test_what_it_knows_nothing_of_is_not_judged(judge, modality, shape, dtype, reason):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    judgement = judge.judge(create_case([_record(image, modality)]))
    assert (judgement.answer, judgement.reason) == ("don't know", reason)
    assert judgement.probability is judgement.evidence is None
    assert judgement.slices == ()
    assert json.loads(json.dumps(describe_judgement(judgement)))['reason'] == reason


def _with(judge: Judge, **changes) -> Judge:
    """The same judge of a detector with other parts."""
    return dataclasses.replace(judge, detector=dataclasses.replace(judge.detector, **changes))


def _with_form(judge: Judge, **preprocessing) -> Judge:
    form = judge.detector.calibration.form
    depth = preprocessing.pop('depth', form.depth)
    changed = dataclasses.replace(form.preprocessing, **preprocessing)
    form = dataclasses.replace(form, preprocessing=changed, depth=depth)
    return _with(judge, calibration=dataclasses.replace(judge.detector.calibration, form=form))


def test_the_shorter_side_of_cut_images_decides(judge):
    image = np.random.default_rng(0).integers(0, 255, (80, 60)).astype(np.uint8)
    case = create_case([_record(image)])
    assert judge.judge(case).slices
    cut = _with_form(judge, fit='crop').judge(case)
    assert cut.reason == 'It has 60 pixels along its shorter side, and the detector needs 64.'


PERCENTILES = 'it is shown in its own percentiles.'


@pytest.mark.parametrize(
    ('form', 'depths', 'factor', 'told'),
    [
        ({'depth': 16}, ('uint16',), 1, PERCENTILES),
        ({'depth': 16}, (), 1, PERCENTILES),  # of an older run
        ({'depth': 16, 'window': 'stored'}, ('uint16',), 1, PERCENTILES),
        ({'depth': 16, 'window': (-1000.0, 400.0)}, ('uint16',), 1, PERCENTILES),
        ({}, ('uint8',), 16, PERCENTILES),
        ({'window': 'stored'}, ('uint8',), 257, PERCENTILES),
        ({'window': (0.0, 100.0)}, ('uint8',), 16, PERCENTILES),
        ({}, ('uint16',), 1, 'it is shown in its whole range.'),
        ({}, ('uint8',), 1, None),
        ({}, ('uint8', 'uint16'), 16, None),
        ({}, (), 16, None),
        ({'depth': 16}, ('uint16',), 16, None),
    ],
)
def test_images_of_another_depth_are_shown_in_a_window_of_their_own(judge, form, depths, factor, told):
    """The same picture in 8 bits, in 12 of 16, or in 16, is seen alike, to the rounding."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64))
    picture[0, :2] = 0, 255
    dtype = np.uint8 if factor == 1 else np.uint16
    own = _with_form(judge, **form)
    own = _with(own, calibration=dataclasses.replace(own.detector.calibration, depths=depths))
    judgement = own.judge(create_case([_record((picture * factor).astype(dtype))]))
    assert judgement.slices
    seen = judge.judge(create_case([_record(picture.astype(np.uint8))])).shown
    np.testing.assert_allclose(judgement.shown, seen, atol=1.01 / 255)
    has = '8 bits' if factor == 1 else 'more than 8 bits'
    assert judgement.note is None if told is None else judgement.note.startswith(f'It has {has} a pixel, the real')
    assert told is None or judgement.note.endswith(told)


def test_values_in_units_keep_the_window_of_the_detector_unless_it_shows_nothing_of_them(judge):
    own = _with_form(judge, window=(-1000.0, 400.0))
    own = _with(own, calibration=dataclasses.replace(own.detector.calibration, depths=('uint16',)))
    image = np.random.default_rng(0).integers(0, 65535, (32, 32)).repeat(2, 0).repeat(2, 1).astype(np.uint16)
    for intensity, shown in (((-2000.0, 2000.0), False), ((500.0, 9000.0), True)):
        record = dataclasses.replace(_record(image), intensity=intensity, window=intensity)
        judgement = own.judge(create_case([record]))
        assert bool(judgement.note) == shown
        assert (judgement.shown == 1).mean() == pytest.approx(0.0 if shown else 0.4, abs=0.05)
    floats = dataclasses.replace(record, image=np.linspace(500, 9000, 4096, dtype=np.float32).reshape(64, 64, 1))
    floats = dataclasses.replace(floats, intensity=(0.0, 1.0))
    assert _with_form(judge, window='stored').judge(create_case([floats])).note.endswith(PERCENTILES)


def test_a_modality_that_nothing_told_is_judged(judge):
    image = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    assert judge.judge(create_case([_record(image)])).slices
    forgetful = dataclasses.replace(judge.detector.calibration, modalities=('unknown',))
    assert _with(judge, calibration=forgetful).judge(create_case([_record(image, 'DX')])).slices


def test_scores_that_are_not_finite_are_no_answer(judge, reals):
    def describe(images):
        return judge.detector.describe(images)._replace(logits=np.full(len(images), np.nan, np.float32))

    broken = _with(judge, describe=describe)
    judgement = broken.judge(create_case(reals[:1]))
    assert (judgement.answer, judgement.reason) == ("don't know", 'The network gives no finite score for it.')


@dataclasses.dataclass(frozen=True)
class _Planted(Anomalies):
    """The detector's scores, with a heat of 5 at one place, and of `corner` in the first corner."""

    row: int
    column: int
    corner: float

    def score(self, detection, height, width) -> Scored:
        maps = np.zeros((len(detection.logits), height, width), np.float32)
        maps[:, 0, 0], maps[:, self.row, self.column] = self.corner, 5.0
        return dataclasses.replace(super().score(detection, height, width), maps=maps)


# The network sees 32x32: padded, all of 128x64 pixels in its middle 32x16; cut, their middle 64x64.
@pytest.mark.parametrize(
    ('fit', 'shape', 'expected'),
    [
        ('pad', (128, 64), (82, 10)),
        ('pad', (64, 128), (50, 42)),
        ('crop', (128, 64), (32 + 41, 21)),
        ('crop', (64, 128), (41, 32 + 21)),
        ('resize', (128, 64), (82, 21)),
    ],
)
def test_the_hottest_pixel_is_told_on_the_grid_of_the_file(judge, fit, shape, expected):
    """Padding, however hot, is no place of it."""
    parts = {kind: getattr(judge.detector.anomalies, kind) for kind in ('mahalanobis', 'padim', 'patchcore')}
    planted = _Planted(**parts, row=20, column=10, corner=7.0 if fit == 'pad' else 0.0)
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    own = _with(_with_form(judge, fit=fit), anomalies=planted)
    (one,) = own.judge(create_case([_record(image)])).slices
    assert (one.row, one.column) == expected


def test_oblong_pixels_are_judged_as_square_ones(judge):
    """16 x 128 pixels of 4 x 1 mm are 64 mm x 128 mm: rows 8 to 23 of what the network sees."""
    parts = {kind: getattr(judge.detector.anomalies, kind) for kind in ('mahalanobis', 'padim', 'patchcore')}
    planted = _Planted(**parts, row=20, column=10, corner=7.0)
    image = np.random.default_rng(0).integers(1, 255, (16, 128)).astype(np.uint8)
    case = create_case([dataclasses.replace(_record(image), spacing=(4.0, 1.0, 1.0))])
    own = _with(_with_form(judge, pixels='square'), anomalies=planted)
    judgement = own.judge(case)
    assert ((judgement.shown[0, ..., 0] > -1).any(1) == (np.abs(np.arange(32) - 15.5) < 8)).all()
    assert (judgement.slices[0].row, judgement.slices[0].column) == (12, 42)
    narrow = _record(image[:, :63])
    short = own.judge(create_case([dataclasses.replace(narrow, spacing=(1.0, 1.0, 1.0))]))
    assert short.reason == 'It has 63 pixels along its longer side, and the detector needs 64.'
    assert own.judge(create_case([dataclasses.replace(narrow, spacing=(4.0, 1.0, 1.0))])).slices
    flat = own.judge(create_case([dataclasses.replace(narrow, spacing=(3.99, 1.0, 1.0))]))
    assert flat.reason == 'It has 63 pixels along its longer side once they are square, and the detector needs 64.'


def test_heat_is_on_the_scale_of_the_data(judge, reals):
    judgement = judge.judge(create_case(reals[:1]))
    assert judgement.heat.dtype.kind == 'f'
    assert 0 <= judgement.heat.min() <= judgement.heat.max() <= 1
    scored = judge.detector.anomalies.score(judge.detector.describe(judgement.shown), 32, 32)
    low, high = judge.detector.calibration.map_ends
    np.testing.assert_allclose(judgement.heat, np.clip((scored.maps - low) / (high - low), 0, 1), atol=1e-4)
    assert scored.scores[LOCATING].shape == (1,)


def test_a_judgement_as_json_has_it(judge, reals):
    judgement = judge.judge(create_case(reals[:1]))
    told = json.loads(json.dumps(describe_judgement(judgement), allow_nan=False))
    assert {'answer', 'reason', 'probability', 'probability_at_prevalence', 'anomaly_p', 'slices'} <= told.keys()
    assert told['evidence']['kind']['real_p'] == told['kind_p'] == judgement.evidence.kind_p
    assert not {'heat', 'shown'} & told.keys()
    assert told['slices'][0].keys() >= {'index', 'probability', 'anomaly_p', 'row', 'column'}
