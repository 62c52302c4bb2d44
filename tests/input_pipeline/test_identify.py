"""Recognising kinds of pictures: measures, the file of exemplars, answers, the command, the warning of prepare."""

import json
import zipfile

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from input_pipeline import prepare
from input_pipeline.errors import DataError, Refusals
from input_pipeline.identification.declaration import describe_likeness
from input_pipeline.identification.exemplars import load_exemplars, save_exemplars
from input_pipeline.identification.measures import DEFAULT_MEASURE, MEASURES
from input_pipeline.identification.phantoms import KINDS, draw_picture, patients, phantom_exemplars
from input_pipeline.identification.recognition import NONE, Answers, Recogniser
from input_pipeline.identification.report import MIXED, accuracy, judge
from input_pipeline.identification.selection import build_exemplars, cover
from input_pipeline.identification.thumbnails import Picture, read_pictures, spread
from input_pipeline.identify import main
from tests.input_pipeline.names import pseudonym

EASY = {'disc': 'DX', 'stripes': 'CT'}


def easy_pictures(kind, count, seed=0):
    """Discs, or stripes, that differ a little in place and size."""
    generator = np.random.default_rng([seed, len(kind)])
    rows, columns = np.mgrid[:64, :64]
    for number in range(count):
        if kind == 'disc':
            centre, radius = generator.uniform(28, 36, 2), generator.uniform(14, 20)
            values = np.hypot(rows - centre[0], columns - centre[1]) < radius
        else:
            values = (columns + generator.uniform(0, 2)) // 8 % 2
        pixels = np.clip(255 * values + generator.normal(0, 10, (64, 64)), 0, 255).astype(np.uint8)
        yield Picture(f'{kind}{number}', pixels, f'{kind}{number}', EASY[kind], kind)


def stack(pictures):
    return np.stack([picture.pixels for picture in pictures])


@pytest.fixture(scope='module')
def easy():
    return build_exemplars({kind: list(easy_pictures(kind, 40)) for kind in EASY}, per_kind=6, seed=0)


@pytest.fixture(scope='module')
def easy_file(easy, tmp_path_factory):
    path = tmp_path_factory.mktemp('exemplars') / 'easy.npz'
    save_exemplars(easy, path)
    return path


@pytest.fixture
def folders(tmp_path):
    """A folder of new pictures of each easy kind."""
    for kind in EASY:
        (tmp_path / kind).mkdir()
        for picture in easy_pictures(kind, 12, seed=1):
            cv2.imwrite(str(tmp_path / kind / f'{picture.source}.png'), picture.pixels)
    return tmp_path


def natural_pictures(count):
    """Smooth noise of every contrast, among them a constant picture."""
    noise = np.random.default_rng(0).normal(size=(count, 64, 64))
    smooth = np.stack([cv2.GaussianBlur(plane, (0, 0), 2 + place) for place, plane in enumerate(noise)])
    unit = np.clip(0.5 + smooth * np.linspace(0, 8, count)[:, None, None], 0, 1)
    return np.rint(255 * unit).astype(np.uint8)


def likeness(measure, queries, exemplars):
    describe = MEASURES[measure].describe
    return MEASURES[measure].compare(describe(queries), describe(exemplars))


def test_ssim_is_that_of_scikit_image():
    pictures = natural_pictures(20)  # more than one block of exemplars
    found = likeness('ssim', pictures[:5], pictures)
    unit = pictures / 255
    expected = [[structural_similarity(a, b, data_range=1.0) for b in unit] for a in unit[:5]]
    np.testing.assert_allclose(found, expected, atol=5e-5)  # single precision, where a picture is constant


def test_one_scale_of_multiscale_ssim_is_ssim(monkeypatch):
    monkeypatch.setattr('input_pipeline.identification.measures._SCALE_WEIGHTS', np.array([1.0]))
    pictures = natural_pictures(6)
    expected = np.maximum(likeness('ssim', pictures, pictures), 0)
    np.testing.assert_allclose(likeness('multiscale_ssim', pictures, pictures), expected, atol=1e-6)


def test_simple_measures_are_their_formulas():
    pictures = natural_pictures(6)[1:]
    unit = pictures.reshape(5, -1) / 255
    np.testing.assert_allclose(likeness('correlation', pictures, pictures), np.corrcoef(unit), atol=1e-5)
    squared = [[-np.mean((a - b) ** 2) for b in unit] for a in unit]
    np.testing.assert_allclose(likeness('squared_error', pictures, pictures), squared, atol=1e-5)
    histograms = [np.histogram(row, bins=32, range=(0, 256))[0] / 4096 for row in pictures.reshape(5, -1)]
    common = [[np.minimum(a, b).sum() for b in histograms] for a in histograms]
    np.testing.assert_allclose(likeness('histogram', pictures, pictures), common, atol=1e-6)


@pytest.mark.parametrize('measure', MEASURES)
def test_nothing_is_more_alike_than_the_picture_itself(measure):
    pictures = natural_pictures(8)[1:]
    found = likeness(measure, pictures, pictures)
    np.testing.assert_allclose(np.diag(found), 0 if measure == 'squared_error' else 1, atol=1e-5)
    assert (found.argmax(axis=1) == np.arange(7)).all()


@pytest.mark.parametrize('measure', MEASURES)
def test_easy_kinds_are_told_apart(easy, measure):
    recogniser = Recogniser(easy, measure)
    for place, kind in enumerate(EASY):
        answers = recogniser(stack(easy_pictures(kind, 30, seed=2)))
        assert (answers.best == place).all()
        assert (answers.kind == place).mean() > 0.6  # thresholds stand at 5 % of few pictures


def test_noise_is_none_of_these(easy):
    noise = np.random.default_rng(0).integers(0, 256, (10, 64, 64), dtype=np.uint8)
    for measure in ('ssim', 'multiscale_ssim', 'correlation', 'gradients'):
        assert (Recogniser(easy, measure)(noise).kind == -1).all(), measure


def test_threshold_is_that_of_the_best_kind():
    scores = np.array([[0.5, 0.4], [0.5, 0.6], [0.9, 0.3]], np.float32)
    answers = Answers(('a', 'b'), scores, np.array([0.6, 0.3]))
    assert answers.kind.tolist() == [-1, 1, 0]
    verdict = judge('x', 'ssim', answers, {})
    assert (verdict.kind, verdict.second, verdict.pictures) == (MIXED, 'b', 3)
    assert verdict.score == pytest.approx((0.5 + 0.6 + 0.9) / 3)
    assert verdict.margin == pytest.approx((1.9 - 1.3) / 3)
    found = accuracy('ssim', answers, ['a', 'a', 'c'], 0.0)
    assert (found.accuracy, found.right, found.none, found.rejected) == (0.5, 0.0, 0.5, 0.0)


def test_exemplars_cover_all_groups():
    """Three tight groups, one of them large: three exemplars come one from each."""
    pictures = np.stack(
        [np.roll(picture, shift, axis=0) for picture in natural_pictures(4)[1:] for shift in (0, 1)]
    )
    pictures = np.concatenate([pictures, np.repeat(pictures[:1], 10, axis=0)])
    group = np.array([0, 0, 1, 1, 2, 2] + [0] * 10)
    assert set(group[cover(pictures, 3)]) == {0, 1, 2}


def test_patients_are_never_on_both_sides(monkeypatch):
    """Two patients of identical pictures each: the half that calibrates is not that of the exemplars."""
    disc, stripes = (next(iter(easy_pictures(kind, 1))) for kind in EASY)
    pictures = [Picture('', p.pixels, p.patient, 'CT', None) for p in (disc, stripes) for _ in range(6)]
    exemplars = build_exemplars({'x': pictures}, per_kind=2, seed=0)
    assert exemplars.thresholds['ssim'][0] < 0.5
    assert exemplars.modalities == ('CT',)


@pytest.mark.parametrize(('count', 'patients'), [(7, 7), (20, 1)])
def test_too_few_pictures_are_refused(count, patients):
    pictures = [
        Picture('', picture.pixels, str(number % patients), 'CT', None)
        for number, picture in enumerate(easy_pictures('disc', count))
    ]
    with pytest.raises(DataError, match=f"'x' has {count} pictures of {patients} patients"):
        build_exemplars({'x': pictures}, per_kind=2, seed=0)


def test_file_of_exemplars_comes_back(easy, easy_file):
    loaded = load_exemplars(easy_file)
    assert (loaded.kinds, loaded.modalities) == (('disc', 'stripes'), ('DX', 'CT'))
    np.testing.assert_array_equal(loaded.pictures, easy.pictures)
    np.testing.assert_array_equal(loaded.owners, easy.owners)
    assert loaded.thresholds.keys() == MEASURES.keys()
    for measure, thresholds in easy.thresholds.items():
        np.testing.assert_array_equal(loaded.thresholds[measure], thresholds)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'version': np.array([2])}, 'of version 2'),
        ({'extra': np.zeros(1)}, 'holds extra'),
        ({'kinds': np.array(['a', 'b', 'c'])}, 'has modalities of'),
        ({'kinds': np.array(['a', 'a'])}, 'names a kind twice'),
        ({'kinds': np.array(['a', '\x1b[2J'])}, 'unprintable'),
        ({'kinds': np.array(['a', None])}, 'Python objects'),
        ({'pictures': np.zeros((12, 32, 32), np.uint8)}, 'has pictures of'),
        ({'pictures': np.zeros((12, 64, 64), np.uint16)}, 'not uint8'),
        ({'owners': np.zeros(12, np.int64)}, 'kinds without exemplars'),
        ({'thresholds': np.full((6, 2), np.nan)}, 'finite thresholds'),
        ({'measures': np.array(list('abcdef'))}, 'finite thresholds'),
    ],
)
def test_wrong_files_of_exemplars_are_refused(easy_file, tmp_path, change, message):
    with np.load(easy_file) as arrays:
        np.savez(tmp_path / 'wrong.npz', **({name: arrays[name] for name in arrays} | change))
    with pytest.raises(DataError, match=message):
        load_exemplars(tmp_path / 'wrong.npz')


def test_damaged_files_of_exemplars_are_refused(easy_file, tmp_path):
    whole, path = easy_file.read_bytes(), tmp_path / 'damaged.npz'
    for damaged in (b'', b'no archive', whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match='is not readable as'):
            load_exemplars(path)
    with zipfile.ZipFile(easy_file) as source, zipfile.ZipFile(path, 'w') as target:
        for name in source.namelist():
            target.writestr(name, source.read(name)[: 200 if name == 'pictures.npy' else None])
    with pytest.raises(DataError, match='truncated'):
        load_exemplars(path)
    with pytest.raises(DataError, match='there is no such file of exemplars'):
        load_exemplars(tmp_path / 'nowhere.npz')


def test_depth_and_units_do_not_matter(tmp_path):
    """A ramp at 8 and 16 bits, and as Hounsfield units, is one picture; the longer side decides the size."""
    ramp = np.tile(np.linspace(0, 1, 100), (50, 1))
    cv2.imwrite(str(tmp_path / '8.png'), np.rint(200 * ramp + 20).astype(np.uint8))
    cv2.imwrite(str(tmp_path / '16.png'), np.rint(3000 * ramp + 9000).astype(np.uint16))
    np.save(tmp_path / 'hu.npy', (ramp * 2000 - 1000).astype(np.float32)[None])
    first, *others = read_pictures(tmp_path, 10, Refusals(skip=False))
    assert len(others) == 2
    for other in others:
        np.testing.assert_allclose(first.pixels.astype(int), other.pixels.astype(int), atol=2)
    assert not first.pixels[:16].any()
    assert first.pixels[32, 0] <= 1
    assert first.pixels[32, -1] >= 254


def test_spread_is_even():
    assert spread(range(10), 3) == [1, 5, 8]
    assert spread(range(3), 5) == [0, 1, 2]


def test_every_format_is_read(medical_data):
    """CT and MR slices as DICOM, a volume as NIfTI (its labels are left out), JPEG."""
    refusals = Refusals(skip=True)
    dicom = list(read_pictures(medical_data / 'dicom' / 'CT_small.dcm', 9, refusals))
    assert [(len(dicom), dicom[0].modality, dicom[0].pixels.max())] == [(1, 'CT', 255)]
    assert len(list(read_pictures(medical_data / 'hippocampus', 2, refusals))) == 32
    assert not refusals.reasons
    found = list(read_pictures(medical_data / 'dicom', 20, refusals))
    assert found
    assert refusals.reasons


def test_phantoms_are_told_apart():
    exemplars = phantom_exemplars()
    assert exemplars.modalities == ('CT', 'CT', 'MR', 'DX')
    for place, kind in enumerate(KINDS):
        new = np.stack([draw_picture(kind, seed).pixels for seed in patients(kind, 4, first=5000)])
        answers = Recogniser(exemplars, DEFAULT_MEASURE)(new)
        assert (answers.best == place).all(), kind
        assert (answers.kind >= 0).sum() >= 2, kind


def test_command_builds_and_recognises(folders, capsys):
    kinds = folders / 'kinds.npz'
    build = [f'--build={kinds}', f'--kind=disc:DX={folders / "disc"}', f'--kind=stripes={folders / "stripes"}']
    assert main([*build, '--exemplars_per_kind=4']) == 0
    assert '8 exemplars of 2 kinds are in ' in capsys.readouterr().out
    assert load_exemplars(kinds).modalities == ('DX', '')
    (folders / 'disc' / 'broken.png').write_bytes(b'no picture')
    paths = [str(folders / 'disc'), str(folders / 'stripes' / 'stripes0.png')]
    assert main([*paths, f'--exemplars={kinds}']) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert lines[0].split() == [
        'path',
        'measure',
        'pictures',
        'looks',
        'like',
        'share',
        'likeness',
        'next',
        'margin',
    ]
    assert lines[1].split()[1:4] == [DEFAULT_MEASURE, '12', 'disc']
    assert lines[2].split()[1:4] == [DEFAULT_MEASURE, '1', 'stripes']
    assert '1 files could not be used; first ' in output
    assert main([*paths, f'--exemplars={kinds}', '--compare', '--json']) == 0
    verdicts = json.loads(capsys.readouterr().out)
    assert [(v['path'], v['measure']) for v in verdicts] == [(p, m) for p in paths for m in MEASURES]
    assert {v['kind'] for v in verdicts if v['path'] == paths[0]} == {'disc'}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'give either one or more PATHs or --name=SET'),
        (['x', '--name=y'], 'give either one or more PATHs or --name=SET'),
        (['x', '--measure=sim'], "invalid choice: 'sim'"),
        (['x', '--mesure=ssim'], 'did you mean --measure?'),
        (['x', '--kind=a=b'], 'only with --build=FILE'),
        (['x', '--split=test'], 'only with --name=SET'),
        (['--build=f'], '--build needs either'),
        (['--build=f', '--kind=a'], 'invalid kind like'),
        (['--build=f', '--kind=a=b', '--kind=a=c'], 'the same name'),
    ],
)
def test_wrong_flags_exit_with_one_sentence(arguments, message):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert message in exit_.value.code
    assert '\n' not in exit_.value.code


def test_bad_paths_exit_with_1(folders, easy_file, capsys):
    (folders / 'note.bin').write_bytes(b'no picture')
    (folders / 'empty').mkdir()
    for path, message in {
        'nowhere': 'there is no such file or folder',
        'note.bin': 'is no picture that can be read',
        'empty': 'holds no picture',
    }.items():
        assert main([str(folders / path), f'--exemplars={easy_file}']) == 1
        error = capsys.readouterr().err
        assert error.startswith(f'identify: {folders / path}: ')
        assert message in error
        assert len(error.splitlines()) == 1


def test_warning_needs_strong_evidence(easy):
    discs, stripes = (list(easy_pictures(kind, 12, seed=3)) for kind in EASY)
    assert describe_likeness(easy, discs, 'disc').startswith('looks like  disc')
    assert describe_likeness(easy, discs, '').startswith('looks like  disc')
    assert describe_likeness(easy, discs[:7], 'stripes').startswith('looks like  disc')  # too few to tell
    assert describe_likeness(easy, discs[:4] + stripes[:8], 'disc').startswith('looks like')
    assert describe_likeness(easy, discs, 'stripes').startswith('warning     the images do not look like')
    as_mr = [Picture('', p.pixels, p.patient, 'MR', None) for p in discs]
    assert 'declared modality MR' in describe_likeness(easy, as_mr, '')
    as_cr = [Picture('', p.pixels, p.patient, 'CR', None) for p in discs]
    assert describe_likeness(easy, as_cr, '').startswith('looks like')  # CR and DX are both radiographs
    noise = [Picture('', n, str(i), 'MR', None) for i, n in enumerate(natural_pictures(9)[1:])]
    assert describe_likeness(easy, noise, '').startswith('looks like')  # what is none has no modality
    assert describe_likeness(easy, noise, 'disc').startswith('warning')


def test_prepare_warns_and_goes_on(folders, easy_file, capsys):
    arguments = ['--source=image_folder', f'--path={folders / "disc"}', f'--data_dir={folders}', '--overwrite']
    arguments += ['--name=discs', f'--exemplars={easy_file}']
    assert prepare.main([*arguments, '--kind=stripes']) == 0
    output = capsys.readouterr().out
    assert 'warning     the images do not look like the declared kind stripes, but like: disc 1' in output
    recorded = json.loads((folders / 'discs/1.0.0/summary.json').read_text())['options']
    assert (recorded['exemplars'], recorded['kind']) == (pseudonym('easy.npz'), 'stripes')
    assert prepare.main([*arguments, '--modality=MR']) == 0
    assert 'do not look like the declared modality MR' in capsys.readouterr().out
    assert prepare.main([*arguments, '--kind=disc', '--modality=DX']) == 0
    output = capsys.readouterr().out
    assert 'looks like  disc 1' in output
    assert 'warning' not in output
    assert prepare.main([*arguments, '--kind=disk']) == 1
    assert 'the exemplars are of disc, stripes. Did you mean disc?' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='--kind needs --exemplars=FILE'):
        prepare.main([*arguments[:-1], '--kind=disc'])


@pytest.mark.slow
def test_mednist_is_recognised(medical_data, tmp_path, capsys):
    """Every 15th picture: exemplars from the training split, accuracy on the test split, and dogs are none."""
    folder = tmp_path / 'mednist'
    for kind in (medical_data / 'mednist').iterdir():
        (folder / kind.name).mkdir(parents=True)
        for picture in sorted(kind.iterdir())[::15]:
            (folder / kind.name / picture.name).write_bytes(picture.read_bytes())
    source = ['--source=image_folder', f'--path={folder}', '--name=mednist', f'--data_dir={tmp_path}']
    assert prepare.main([*source, '--test_fraction=0.2']) == 0
    known, kinds = ['--name=mednist', f'--data_dir={tmp_path}'], tmp_path / 'kinds.npz'
    assert main([*known, f'--build={kinds}', '--exemplars_per_kind=12']) == 0
    capsys.readouterr()
    assert main([*known, f'--exemplars={kinds}', '--compare', '--json']) == 0
    found = {row['measure']: row for row in json.loads(capsys.readouterr().out)}
    assert found['multiscale_ssim']['accuracy'] > 0.85  # chance is 0.17
    assert min(row['accuracy'] for row in found.values()) > 0.65
    assert found['multiscale_ssim']['none'] < 0.2
    assert main([str(medical_data / 'cifar10/test/dog'), f'--exemplars={kinds}', '--limit=40', '--json']) == 0
    [verdict] = json.loads(capsys.readouterr().out)
    assert verdict['kind'] == NONE
    assert verdict['share'] > 0.6  # 0.68 to 1 in seven draws of the splits, which the key decides


def test_set_that_prepare_did_not_write_or_lacks_a_class_is_refused(tmp_path, capsys):
    arguments = ['--source=phantom', '--name=phantom', f'--data_dir={tmp_path}', '--count=20', '--size=16']
    assert prepare.main(arguments) == 0
    known = ['--name=phantom', f'--data_dir={tmp_path}', '--split=train']
    assert main([*known, '--classes=CT_helthy']) == 1
    assert 'Did you mean CT_healthy' in capsys.readouterr().err
    assert main([*known, '--json']) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row['accuracy'], row['measure']) == (None, DEFAULT_MEASURE)  # its classes are none of the kinds
    assert main([*known]) == 0
    assert 'CT_healthy' in capsys.readouterr().out
    (tmp_path / 'phantom/1.0.0/summary.json').unlink()
    assert main(known) == 1
    assert 'was not written by input_pipeline.prepare' in capsys.readouterr().err
