"""What scores mean: fitted on validation and real training images alone, and refused where it does not fit."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import scipy.special

from detect.calibration import DETECTOR_FILE, calibrate, read_calibration, score_split, write_calibration
from detect.data import binary_labels, is_real
from detect.fusion import fit_logit_temperature, fit_stacking
from detect.judge import open_judge
from detect.metrics.thresholds import fit_thresholds
from detect.recipe import create_recipe
from detect.scoring import ANOMALIES_FILE, FUSED, read_anomalies
from foundation.statistics.conformal import conformal_p_values
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError


@pytest.fixture(scope='module')
def validation(create_config):
    return create_recipe(create_config()).data.open('validation', train=False)


@pytest.fixture(scope='module')
def scored(judge, validation):
    """All scores of validation, computed anew."""
    return score_split(judge.detector, judge.detector.anomalies, validation)


@pytest.fixture
def workdir(detector_workdir, tmp_path):
    """A copy of the finished detector."""
    return shutil.copytree(detector_workdir, tmp_path / 'run')


def test_all_is_fitted_on_validation(judge, scored, validation):
    calibration, labels = judge.detector.calibration, binary_labels(validation)
    assert set(scored.scores) == {'network', 'mahalanobis', 'padim', 'patchcore'}
    stacking = fit_stacking(scored.scores, labels, split='validation', penalty=1e-3)
    np.testing.assert_allclose(calibration.stacking.weights, stacking.weights, rtol=1e-2)
    fused = calibration.fuse(scored.scores)
    temperature = fit_logit_temperature(scored.scores['network'], labels, split='validation')
    assert calibration.temperature == pytest.approx(temperature, rel=1e-4)
    for name, own in (scored.scores | {FUSED: fused}).items():
        expected = fit_thresholds(own, labels, split='validation')
        assert calibration.thresholds[name].youden == pytest.approx(expected.youden, rel=1e-3, abs=1e-3)
    np.testing.assert_allclose(calibration.conformal.reals, np.sort(fused[labels == 0]), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(calibration.conformal.fakes, np.sort(fused[labels == 1]), rtol=1e-3, atol=1e-3)
    strangeness = np.sort(scored.scores['patchcore'][is_real(validation)])
    np.testing.assert_allclose(calibration.strangeness, strangeness, rtol=1e-4)
    ends = np.quantile(scored.maps[is_real(validation)], (0.5, 0.999))
    np.testing.assert_allclose(calibration.map_ends, ends, rtol=1e-3)
    assert calibration.prevalence == 0.5


def test_what_it_was_fitted_for_is_kept(judge, validation):
    calibration = judge.detector.calibration
    assert calibration.modalities == ('CT', 'MR')
    assert calibration.form.to_dict() == validation.options['form']
    assert calibration.step == judge.detector.position.step
    assert calibration.checksum == judge.detector.checksum


def test_the_fused_score_is_calibrated_on_validation(judge, scored, validation):
    """A logistic regression with a bias gives as many fakes as there are."""
    probabilities = scipy.special.expit(judge.detector.calibration.fuse(scored.scores))
    assert probabilities.mean() == pytest.approx(binary_labels(validation).mean(), abs=0.01)


def test_conformal_p_values_of_validation_are_even(judge):
    reals = np.array(judge.detector.calibration.conformal.reals)
    p_values = conformal_p_values(reals, reals)
    np.testing.assert_allclose(np.sort(p_values), np.arange(2, len(reals) + 2) / (len(reals) + 1))


def test_masks_are_not_shown_to_the_network(judge, create_config, scored):
    images = create_recipe(create_config()).data.open('validation', train=False, mask_classes=1)
    again = score_split(judge.detector, judge.detector.anomalies, images)
    np.testing.assert_allclose(again.scores['network'], scored.scores['network'], atol=1e-5)


def test_it_survives_its_file(judge, tmp_path):
    write_calibration(tmp_path, judge.detector.calibration)
    assert read_calibration(tmp_path) == judge.detector.calibration
    judge.detector.anomalies.save(tmp_path / ANOMALIES_FILE)
    again = read_anomalies(tmp_path)
    for kind in ('mahalanobis', 'padim', 'patchcore'):
        before, after = (getattr(own, kind).to_arrays() for own in (judge.detector.anomalies, again))
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)
    assert [path.name for path in tmp_path.iterdir() if 'tmp' in path.name] == []


@pytest.mark.parametrize(
    'change',
    [
        {'stacking': {'names': ['network']}},
        {'thresholds': {'network': {'youden': 'high'}}},
        {'conformal': {'reals': [], 'fakes': [1.0]}},
        {'strangeness': 3},
        {'form': {'resolution': 64}},
        {'more': 1},
    ],
)
def test_a_damaged_calibration_is_refused(workdir, change):
    content = json.loads((workdir / DETECTOR_FILE).read_text())
    (workdir / DETECTOR_FILE).write_text(json.dumps(content | change))
    with pytest.raises(UserError, match=r'detector\.json is damaged .*; remove it and run the training command'):
        read_calibration(workdir)


def test_damaged_anomalies_are_refused(workdir):
    content = (workdir / ANOMALIES_FILE).read_bytes()
    (workdir / ANOMALIES_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r'anomalies\.npz is damaged .*; run the training command again'):
        read_anomalies(workdir)
    np.savez(workdir / ANOMALIES_FILE, allow_pickle=False, **{'mahalanobis.means': np.zeros(3)})
    with pytest.raises(UserError, match=r"Mahalanobis has the arrays .*, not \['means'\]; fit it again"):
        read_anomalies(workdir)


def test_the_run_of_another_command_is_refused_as_such(tmp_path):
    workdirs.write_json(tmp_path / 'config.json', {'patch': 0, 'context': 0, 'mask_classes': 1, 'network': {}})
    with pytest.raises(UserError, match=r'holds no detector; give the --workdir of a run of detect\.main\.'):
        open_judge(tmp_path, error_level=0.1, prevalence=None, batch_size=8)


@pytest.mark.parametrize('name', [DETECTOR_FILE, ANOMALIES_FILE])
def test_an_unfinished_detector_is_refused(workdir, name):
    (workdir / name).unlink()
    with pytest.raises(UserError, match='holds no finished detector; run its training command to the end'):
        open_judge(workdir, error_level=0.1, prevalence=None, batch_size=8)


def test_another_checkpoint_than_the_calibrated_one_is_refused(workdir):
    calibration = read_calibration(workdir)
    write_calibration(workdir, dataclasses.replace(calibration, checksum='0' * 64))
    with pytest.raises(UserError, match='was trained on after it was calibrated; run its training command'):
        open_judge(workdir, error_level=0.1, prevalence=None, batch_size=8)


def test_another_checkpoint_is_calibrated_anew(workdir, create_config, validation, judge):
    own = judge.detector.calibration
    write_calibration(workdir, dataclasses.replace(own, checksum='0' * 64, temperature=99.0))
    calibrate(workdir, create_recipe(create_config()).data.open('train', train=False), validation)
    again = read_calibration(workdir)
    assert again.checksum == own.checksum
    assert again.temperature == pytest.approx(own.temperature, rel=1e-3)


@pytest.mark.parametrize('level', [0.0, 0.01, 1.0, -0.1, float('nan')])
def test_an_error_level_that_cannot_be_kept(detector_workdir, level):
    """24 real images of validation allow 1 in 25."""
    with pytest.raises(UserError, match=r'An error level of .* cannot be kept: 24 real and 24 fake'):
        open_judge(detector_workdir, error_level=level, prevalence=None, batch_size=8)


@pytest.mark.parametrize('prevalence', [0.0, 1.0, -0.1, 7.0, float('nan')])
def test_an_impossible_prevalence(detector_workdir, prevalence):
    with pytest.raises(UserError, match=r'A prevalence of .* is not between 0 and 1'):
        open_judge(detector_workdir, error_level=0.1, prevalence=prevalence, batch_size=8)
