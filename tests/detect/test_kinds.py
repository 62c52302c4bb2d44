"""How far a picture looks from those of training: what changes it, what does not, and how rarely it is wrong."""

import dataclasses
import shutil

import numpy as np
import pytest

from detect import calibration
from detect.judge import describe_judgement, open_judge
from detect.kinds import KINDS_FILE, PictureKinds, describe_pictures, fit_kinds, read_kinds
from detect.recipe import create_recipe
from foundation.training.errors import UserError
from input_pipeline.cases import create_case
from tests.detect import drawn
from tests.detect.test_detector import _record


def _discs(count: int, seed: int, side: int = 32) -> np.ndarray:
    """Bright discs on a dark ground, somewhere, with a little noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    pictures = []
    for _ in range(count):
        row, column, radius = *random.uniform(0.4, 0.6, 2) * side, random.uniform(0.2, 0.4) * side
        disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        pictures.append(np.where(disc, 0.6, -0.8) + 0.02 * random.standard_normal((side, side)))
    return np.stack(pictures).astype(np.float32)[..., None]


@pytest.fixture(scope='module')
def kinds() -> PictureKinds:
    return fit_kinds(_discs(60, 0), _discs(40, 9) * 0.5)


@pytest.mark.parametrize('side', [32, 50, 64, 200])
def test_mirrors_and_quarter_turns_change_no_description(side):
    (picture,) = _discs(1, 1, side)
    picture[: side // 3, : side // 5] = 0.3
    turned = [np.rot90(own, quarter) for own in (picture, picture[:, ::-1]) for quarter in range(4)]
    described = describe_pictures(np.stack(turned))
    np.testing.assert_allclose(described, described[:1].repeat(8, axis=0), atol=2e-4)
    assert np.abs(described[0] - describe_pictures(_discs(1, 2, side))[0]).max() > 0.05


def test_a_colour_picture_is_described_by_its_mean():
    pictures = _discs(3, 0)
    colours = pictures.repeat(3, axis=-1)
    np.testing.assert_allclose(describe_pictures(colours), describe_pictures(pictures), atol=0.02)


def test_what_was_trained_on_is_known_whole_and_cut(kinds):
    pictures = _discs(60, 0)
    real, synthetic = kinds.score(pictures)
    assert real.max() < 0.2  # to the rounding of float32
    assert synthetic.min() > 1
    assert kinds.score(_discs(40, 9) * 0.5)[1].max() < 0.2
    inner = pictures[0, 2:30, 2:30, 0]
    assert (kinds.score(pictures[:1]) < kinds.score(np.pad(inner, 2, constant_values=1.0)[None, ..., None])).all()


def test_the_nearest_is_found(kinds):
    """Against all distances, in double precision."""
    pictures = np.concatenate([_discs(300, 5), np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 1))])
    white = (describe_pictures(pictures.astype(np.float32)) - kinds.center) @ kinds.whitening.T
    scored = kinds.score(pictures.astype(np.float32))
    for found, known in zip(scored, (kinds.real, kinds.synthetic), strict=True):
        distances = np.linalg.norm(white[:, None] - known[None], axis=2).min(axis=1)
        np.testing.assert_allclose(found, distances, rtol=1e-3)


def test_other_kinds_are_farther_than_all_of_the_same(kinds):
    random = np.random.default_rng(1)
    stripes = np.sin(np.arange(32) / 2)[None, :, None, None] * np.ones((1, 1, 32, 1))
    others = [random.uniform(-1, 1, (8, 32, 32, 1)), stripes, np.full((1, 32, 32, 1), 0.1)]
    farthest = kinds.score(_discs(60, 2))[0].max()
    assert all(kinds.score(own.astype(np.float32)).min() > 2 * farthest for own in others)


def test_it_survives_its_file(kinds, tmp_path):
    assert read_kinds(tmp_path) is None
    kinds.save(tmp_path / KINDS_FILE)
    again = read_kinds(tmp_path)
    for name, array in kinds.to_arrays().items():
        np.testing.assert_array_equal(getattr(again, name), array)
    assert [path.name for path in tmp_path.iterdir()] == [KINDS_FILE]
    content = (tmp_path / KINDS_FILE).read_bytes()
    (tmp_path / KINDS_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r'kinds\.npz is damaged .*; remove it and run the training command again'):
        read_kinds(tmp_path)


def test_one_image_is_no_kind():
    with pytest.raises(UserError, match='at least two real training images'):
        fit_kinds(_discs(1, 0), _discs(4, 1))


def test_no_more_than_promised_are_unknown(judge, kinds):
    """Over calibrations by 39 images each: a share of alpha at most."""
    far, new = kinds.score(_discs(1950, 3)), kinds.score(_discs(200, 6))
    p_values = []
    for start in range(0, 1950, 39):
        own = tuple(tuple(np.sort(each[start : start + 39])) for each in far)
        p_values.append(dataclasses.replace(judge.detector.calibration, kinds=own).kind_p_values(new))
    for level in (0.05, 0.2):
        shares = (np.array(p_values) <= level).mean(axis=(0, 2))
        assert shares == pytest.approx([level, level], abs=0.25 * level)


def test_a_finished_detector_knows_its_kinds(judge, create_config):
    images = create_recipe(create_config()).data.open('validation', train=False)
    assert list(map(len, judge.detector.calibration.kinds)) == list(np.bincount(calibration.binary_labels(images)))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    judgement = judge.judge(create_case([_record(noise)]))
    assert judgement.answer == "don't know"
    assert judgement.reason == 'It is unlike every kind of picture that the detector was trained on.'
    assert judgement.slices  # the network was asked all the same, so that its opinion can be read


def test_the_training_command_adds_kinds_to_an_older_detector(detector_workdir, create_config, tmp_path):
    workdir = shutil.copytree(detector_workdir, tmp_path / 'run')
    whole = calibration.read_calibration(workdir)
    calibration.write_calibration(workdir, dataclasses.replace(whole, kinds=()))
    (workdir / KINDS_FILE).unlink()
    older = open_judge(workdir, error_level=0.1, prevalence=None, batch_size=8)
    for picture in drawn.draw_pictures(0, 'test')[:8]:
        judgement = older.judge(create_case([_record(picture)]))
        assert judgement.answer != 'real'
        assert judgement.evidence.kind_p is judgement.evidence.made_kind_p is judgement.slices[0].kind_p is None
        assert describe_judgement(judgement)['evidence']['kind']['known'] is None
    data = create_recipe(create_config()).data
    calibration.calibrate(workdir, data.open('train', train=False), data.open('validation', train=False))
    again = calibration.read_calibration(workdir)
    np.testing.assert_allclose(again.kinds[0], whole.kinds[0], rtol=1e-5)
    assert read_kinds(workdir) is not None
