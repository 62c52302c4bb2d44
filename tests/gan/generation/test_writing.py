"""A folder of generated images as a whole: its manifest, its card, and that it is there whole or not at all."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from backbones.images import DataFacts
from configs.gan import tiny
from foundation.export.manifest import NOT_CHECKED, Release
from foundation.export.verification import check_folder
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.watermark import MarkKey
from gan import verify
from gan.generation.card import EVALUATION_FILE, describe_scores, escape
from gan.generation.folder import GenerationRequest, write_images
from gan.generation.origin import find_origin
from gan.generation.signatures import SigningRequest, load_request
from gan.generator import TrainedGenerator, Weights
from gan.recipe import ImageFormat, create_recipe
from gan.reporting import tables
from gan.reporting.runs import ReportedRun
from gan.sampler import Drawn
from gan.watermark import Watermark, largest_change, read_mark
from tests.foundation.signing.made import TIME, key_folder, keys
from tests.gan.command import read_files
from tests.gan.generation.origins import fitted, make_masks, make_origin, make_stored
from tests.input_pipeline.items import make_item, random_images, write

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run without checkpoints; counting parameters would build its networks."""
    monkeypatch.setattr(tables, '_count_parameters', lambda run: 'few')
    return _make_run(tmp_path / 'run')


def _make_run(workdir, **data):
    workdir.mkdir(exist_ok=True)
    (workdir / 'log.txt').write_text('2024-01-01 INFO 1 x cpu (cpu), 1 process(es), JAX 0.10, revision abc\n')
    config = tiny.get_config()
    config.data.update(data)
    facts = DataFacts('chest|x', 'ef' * 32, 10, 5, ('a_b', 'c'), 'uint16', (-1024.0, 3071.0))
    recipe = create_recipe(config)
    return ReportedRun('run', workdir, recipe, facts, recipe.stages(10), (), {})


def _order(out, image_format='png', **fields):
    return GenerationRequest(
        **{
            'out': out,
            'image_format': image_format,
            'count': 4,
            'licence': '',
            'date': '',
            'command': {},
            'signing': None,
            'watermark': None,
            **fields,
        }
    )


def _drawn(origin, numbers=(0, 1, 4, 7)):
    """Two batches."""
    stored, masks = make_stored(origin, 4), make_masks(4)
    images, labels = input_pipeline.to_unit(stored), np.array([0, 1, 1, 0])
    for part in (slice(0, 3), slice(3, 4)):
        yield Drawn(images[part], masks[part], labels[part], np.array(numbers)[part])


def test_a_watermark_is_in_every_image_and_told(tmp_path, run):
    origin = make_origin(dtype='uint8', modality='MR')
    rows, columns = np.mgrid[:128, :128] / 64 - 1
    images = np.random.default_rng(0).normal(0, 0.03, (4, 128, 128, 1)) + np.hypot(rows, columns)[..., None] / 3
    masks, zeros = np.zeros((4, 128, 128, 1), np.uint8), np.zeros(4, int)
    mark = Watermark(MarkKey(b'a key of the tests'), 0x1A2B3C4D, largest_change(origin.form))
    for name, watermark in (('marked', mark), ('plain', None)):
        drawn = [Drawn(images.astype(np.float32), masks, zeros, np.arange(4))]
        write_images(drawn, _order(tmp_path / name, watermark=watermark), run, origin, lambda: NOT_CHECKED)
    plain, marked = (
        np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / name / 'images').iterdir())])
        for name in ('plain', 'marked')
    )
    assert np.abs(marked.astype(int) - plain).max() == 2
    for path in (tmp_path / 'marked' / 'images').iterdir():
        assert read_mark(path, mark.key).payload == 0x1A2B3C4D
    assert check_folder(tmp_path / 'marked', shown=1).manifest['watermark'] == mark.describe()
    assert 'watermark' not in check_folder(tmp_path / 'plain', shown=1).manifest
    assert 'payload 1a2b3c4d' in (tmp_path / 'marked' / 'MODEL_CARD.md').read_text()
    assert 'Watermark' not in (tmp_path / 'plain' / 'MODEL_CARD.md').read_text()


def _write(out, run, origin, release=NOT_CHECKED, **fields):
    write_images(_drawn(origin), _order(out, **fields), run, origin, lambda: release)
    return out


def test_numbers_may_skip_and_the_gate_is_recorded(tmp_path, run):
    release = Release('pass', {'extractor': {'name': 'small', 'sha256': '12'}, 'withheld': 3, 'auc': [0.4, 0.6]})
    out = _write(
        tmp_path / 'out', run, make_origin(classes=('a_b', 'c')), release, licence='CC0', date='2024-02-29'
    )
    lines = (out / 'index.csv').read_text().splitlines()
    assert lines[0] == 'image,mask,label,number,intensity_low,intensity_high'
    assert lines[3] == 'images/000004.png,,c,4,-1024.0,3071.0'
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['release'] == {'verdict': 'pass', 'figures': release.figures}
    assert (manifest['count'], manifest['seed'], manifest['licence'], manifest['date']) == (
        4,
        3,
        'CC0',
        '2024-02-29',
    )
    assert (manifest['classes'], manifest['spacing']) == ({'a_b': 2, 'c': 2}, [0.7, 0.8])
    assert manifest['model']['weights_sha256'] == 'ab' * 32
    assert manifest['data'] == {
        'name': 'chest', 'fingerprint': 'ef' * 32, 'split': 'train', 'images': 10, 'patients': 5, 'licence': 'CC0',
        'patients_known': True,
    }  # fmt: skip
    assert {file['name'] for file in manifest['files']} == {
        'MODEL_CARD.md', 'index.csv', *(f'images/{number:06d}.png' for number in (0, 1, 4, 7))
    }  # fmt: skip
    assert check_folder(out, shown=5).is_whole


@pytest.mark.parametrize(
    ('image_format', 'layer'), [('png', 'credentials'), ('dicom', 'dicom_signature'), ('tfds', '')]
)
def test_a_release_is_signed_as_it_is_written(tmp_path, run, image_format, layer):
    origin, signing = make_origin(mask_classes=2), SigningRequest(keys(), TIME, credentials=True)
    outs = [
        _write(tmp_path / name / 'out', run, origin, image_format=image_format, signing=signing) for name in 'ab'
    ]
    pins = [f'--key={key_folder()}/public_key.pem', f'--authority={key_folder()}/certificate_authority.pem']
    assert verify.main([str(outs[0]), *pins, f'--require=manifest,signature{layer and ","}{layer}']) == 0
    if image_format != 'png':  # credentials are salted
        assert read_files(outs[0]) == read_files(outs[1])


def test_keys_and_time_of_the_flags_are_looked_at_first():
    stated = f'{TIME:%Y-%m-%dT%H:%M:%SZ}'
    loaded = load_request(key_folder(), '', stated, credentials=True)
    assert (loaded.keys.public_key, loaded.time, loaded.credentials) == (keys().public_key, TIME, True)
    with pytest.raises(UserError, match='--sign_time=2026 is no time'):
        load_request(key_folder(), '', '2026', credentials=True)
    with pytest.raises(UserError, match='lies outside'):
        load_request(key_folder(), '', '2001-01-01T00:00:00Z', credentials=True)
    with pytest.raises(UserError, match='--sign_passphrase takes env:VARIABLE or file:PATH'):
        load_request(key_folder(), 'secret', stated, credentials=True)


def test_a_note_on_the_images_is_in_the_card(tmp_path, run):
    release = dataclasses.replace(NOT_CHECKED, note='What is drawn is *far*.')
    card = (_write(tmp_path / 'out', run, make_origin(), release) / 'MODEL_CARD.md').read_text()
    assert '\n\n**Note:** What is drawn is \\*far\\*.\n\n## Training data' in card
    assert 'Note' not in (_write(tmp_path / 'plain', run, make_origin()) / 'MODEL_CARD.md').read_text()


def test_what_the_gate_raises_leaves_nothing(tmp_path, run):
    def fail():
        raise UserError('the gate says no')

    with pytest.raises(UserError, match='the gate says no'):
        write_images(_drawn(make_origin()), _order(tmp_path / 'new' / 'out'), run, make_origin(), fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['run']


@pytest.mark.slow
def test_a_killed_command_leaves_no_folder_and_the_next_one_cleans_up(tmp_path, run):
    program = (
        'import os, pathlib, signal\n'
        'from tests.gan.generation import test_writing as t\n'
        'def judge(): os.kill(os.getpid(), signal.SIGKILL)\n'
        f'folder = pathlib.Path({str(tmp_path)!r})\n'
        f'order, run = t._order(folder / "out", "tfds"), t._make_run(folder / "run")\n'
        't.write_images(t._drawn(t.make_origin()), order, run, t.make_origin(), judge)\n'
    )
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, timeout=300)
    assert done.returncode == -9, done.stderr
    left = {path.name.split('.')[0] for path in tmp_path.iterdir()}
    assert left == {'run', 'incomplete'}
    _write(tmp_path / 'out', run, make_origin(), image_format='tfds')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out', 'run']


def test_images_that_are_not_finite_are_refused(tmp_path, run):
    def diverged():
        for batch in _drawn(make_origin()):
            yield dataclasses.replace(batch, images=np.where(batch.images > 0.9, np.nan, batch.images))

    with pytest.raises(UserError, match='image 0 has values that are not finite: training has diverged'):
        write_images(diverged(), _order(tmp_path / 'out'), run, make_origin(), lambda: NOT_CHECKED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['run']


def test_a_folder_with_something_in_it_is_kept(tmp_path, run):
    (tmp_path / 'out').mkdir()
    _write(tmp_path / 'out', run, make_origin())
    before = (tmp_path / 'out' / 'manifest.json').read_bytes()
    for taken in (tmp_path / 'out', tmp_path / 'run' / 'log.txt'):
        with pytest.raises(UserError, match='exists already; give --out a new folder'):
            _write(taken, run, make_origin())
    assert (tmp_path / 'out' / 'manifest.json').read_bytes() == before


def test_the_card_tells_data_training_and_limits(tmp_path, run):
    out = _write(tmp_path / 'out', run, make_origin(classes=('a_b', 'c'), mask_classes=2), licence='')
    card = (out / 'MODEL_CARD.md').read_text()
    for text in (
        '- Count: 4', '- Licence: not stated', '- Classes: a\\_b, c', '- Mask classes: 2', '- Modality: CT',
        '-1024 to 3071 in Hounsfield units', '0.7 x 0.8 mm', '- Images: 10', '- Patients: 5', '- Licence: CC0',
        '- Images seen: 100 images, 10 epochs', '- Loss: hinge', '1 x cpu \\(cpu\\), 1 process\\(es\\), JAX 0.10',
        'The generator was not evaluated', 'Verdict: **not checked**', 'not for diagnosis', 'no proof',
    ):  # fmt: skip
        assert text in card, text
    assert str(tmp_path) not in card  # where a run lies is nobody's business


SCORES: dict[str, dict[str, Any]] = {
    'frechet_distance': {
        'value': 12.3456, 'interval': [11.0, 13.5], 'counts': {'generated': 5000, 'reference': 400},
        'floor': {'value': 1.25, 'interval': [1.0, 2.0], 'counts': {'generated': 30, 'reference': 400}},
        'at_floor_count': {'value': 3.5, 'interval': [1.0, 2.0], 'counts': {'generated': 30, 'reference': 400}},
    },
    'ms_ssim': {
        'value': 0.5, 'interval': [0.0, 1.0], 'reason': None,
        'counts': {'first generated': 20, 'first pairs': 9, 'second reference': 20, 'second pairs': 9},
        'floor': {'value': 0.25, 'interval': [0.0, 1.0], 'counts': {'first generated': 7, 'second reference': 20}},
        'at_floor_count': None,
    },
    'recall': {
        'value': None, 'interval': None, 'counts': {}, 'reason': 'needs 100 images',
        'floor': {'value': None, 'interval': None, 'counts': {}, 'reason': 'has no floor.'},
        'at_floor_count': None,
    },
}  # fmt: skip
MEANINGS = {
    'frechet_distance': {'title': 'Frechet|distance'},
    'ms_ssim': {'title': 'MS-SSIM'},
    'recall': {'title': 'R'},
}


def _report(weights, scores=SCORES):
    return {
        'extractor': {'name': 'small', 'sha256': '12'},
        'meanings': MEANINGS,
        'runs': [{'weights_sha256': weights, 'scores': scores}],
    }


@pytest.mark.parametrize(
    ('report', 'expected'),
    [
        (
            _report('ab' * 32),
            '| Frechet\\|distance | 12.35 \\(5,000 generated, 400 reference\\) | 11 to 13.5 '
            '| 3.5 \\(30 generated, 400 reference\\) | 1.25 \\(30 held out, 400 reference\\) |',
        ),
        (
            _report('ab' * 32),
            '| MS-SSIM | 0.5 \\(20 generated, 9 pairs, 20 reference\\) | 0 to 1 |  '
            '| 0.25 \\(7 held out, 20 reference\\) |',
        ),
        (_report('ab' * 32), '| R | none: needs 100 images |  |  | none: has no floor. |'),
        (_report('00' * 32), 'Only another state of this generator was evaluated'),
        ({'runs': []}, 'Only another state'),
        ({'runs': [3]}, 'The generator was not evaluated'),
        (_report('ab' * 32, {'recall': 7}), 'The generator was not evaluated'),
        ([], 'The generator was not evaluated'),
        (_report('ab' * 32, {'recall': SCORES['recall'] | {'value': 10**400}}), 'The generator was not evaluated'),
        (
            _report('ab' * 32, {'recall': SCORES['ms_ssim'] | {'interval': [1.0]}}),
            'The generator was not evaluated',
        ),
    ],
)
def test_the_card_has_the_scores_of_these_weights(tmp_path, run, report, expected):
    path = run.workdir / EVALUATION_FILE
    path.parent.mkdir()
    path.write_text(json.dumps(report))
    assert expected in (_write(tmp_path / 'out', run, make_origin()) / 'MODEL_CARD.md').read_text()


def test_a_report_that_is_nested_too_deep_is_none(tmp_path):
    (tmp_path / EVALUATION_FILE).parent.mkdir()
    (tmp_path / EVALUATION_FILE).write_text('[' * 100_000)
    assert describe_scores(tmp_path, 'ab').startswith('The generator was not evaluated')


def test_the_card_gives_reasons_only_where_there_are_any(tmp_path, run):
    figures = {'reasons': [], 'membership_attack': {'value': 0.5, 'reason': None}, 'copies': {'reason': 'too few'}}
    out = _write(tmp_path / 'out', run, make_origin(), Release('pass', figures))
    gate = (out / 'MODEL_CARD.md').read_text().split('## Release gate')[1].split('##')[0]
    assert gate.split('\n- ')[1:] == ['membership attack, value: 0.5', 'copies, reason: too few\n\n']


def test_unknown_patients_are_not_counted(tmp_path, run):
    origin = make_origin()
    origin = dataclasses.replace(
        origin, data=dataclasses.replace(origin.data, patients=None, patients_known=False)
    )
    out = _write(tmp_path / 'out', run, origin)
    card = (out / 'MODEL_CARD.md').read_text()
    assert '- Images: 10, patients unknown: each image counts as one\n' in card
    assert 'Patients:' not in card
    assert check_folder(out, shown=5).manifest['data']['patients'] is None


def test_text_of_users_cannot_become_markdown():
    assert escape('a|b\n# <b>*x*</b> [l](u) \x1b[0m') == 'a\\|b \\# \\<b\\>\\*x\\*\\</b\\> \\[l\\]\\(u\\) \\[0m'


def _find_origin(data_dir, workdir, name, fingerprint):
    """Of a generator that draws 8x8 and was trained on the data set of this name when it had this fingerprint."""
    run = _make_run(workdir, name=name, data_dir=str(data_dir))
    run = dataclasses.replace(run, facts=DataFacts(name, fingerprint, 10, 5, (), 'uint16', None))
    image_format = ImageFormat(channels=1, mask_classes=0, num_classes=0)
    network = run.recipe.generator_at(8, image_format)
    position = Position(step=10, images_seen=100, phase='8x8')
    trained = TrainedGenerator(run.recipe, run.facts, network, Weights({}, 1.0), position)
    return find_origin(trained, run, seed=3)


def test_modality_spacing_and_licence_come_from_the_data_while_they_are_there(tmp_path, caplog):
    items = [make_item(f'{n}', [image]) for n, image in enumerate(random_images(12, (32, 16, 1), np.uint16))]
    fingerprint = write(items, tmp_path / 'data', 'small')['fingerprint']
    found = _find_origin(tmp_path / 'data', tmp_path / 'run', 'small', fingerprint)
    assert (found.form.modality, found.data.licence) == ('CT', 'CC0')
    assert found.form.spacing == (2.0, 2.0)  # 0.5 mm, and 32 pixels become 8
    assert (found.data.patients, found.data.patients_known) == (None, False)  # each is named after its file
    assert not caplog.messages
    changed = _find_origin(tmp_path / 'data', tmp_path / 'run', 'small', 'other')
    assert (changed.form.modality, changed.form.spacing, changed.data.licence) == ('unknown', None, '')
    assert changed.data.patients == 5  # fewer than images: they were known
    assert _find_origin(tmp_path / 'data', tmp_path / 'run', 'gone', fingerprint).form == changed.form
    assert len(caplog.messages) == 2
    assert "'small' has changed since" in caplog.messages[0]
    assert "there is no data set 'gone'" in caplog.messages[1]


@pytest.mark.parametrize(('fit', 'expected'), [('pad', (1.0, 1.0)), ('crop', (0.5, 0.5)), ('resize', (1.0, 0.5))])
def test_spacing_follows_the_scale_of_the_fit(tmp_path, fit, expected):
    items = [make_item(f'{n}', [image]) for n, image in enumerate(random_images(12, (32, 16, 1), np.uint8))]
    write(items, tmp_path, 'small')
    found = input_pipeline.find_provenance(
        'small', tmp_path, 'train', modalities=(), classes=(), preprocessing=fitted(16, fit), resolution=16
    )
    assert found.spacing == expected


@pytest.mark.parametrize(
    ('fit', 'pixels', 'resolution', 'expected'),
    [
        ('pad', 'as_stored', 16, (5.0, 1.0)),  # 16 x 16 pixels of 5 x 1 mm
        ('pad', 'square', 16, (5.0, 5.0)),  # 80 mm
        ('pad', 'square', 8, (10.0, 10.0)),  # what a network that still grows has
        ('crop', 'square', 16, (1.0, 1.0)),  # 16 mm
        ('pad', 8.0, 16, (8.0, 8.0)),
        ('crop', 2.0, 8, (4.0, 4.0)),
    ],
)
def test_spacing_follows_what_is_done_with_pixels(tmp_path, fit, pixels, resolution, expected):
    images = random_images(12, (16, 16, 1), np.uint8)
    write(
        [make_item(f'{n}', [image], spacing=(5.0, 1.0, 1.0)) for n, image in enumerate(images)], tmp_path, 'small'
    )
    found = input_pipeline.find_provenance(
        'small', tmp_path, 'train', modalities=(), classes=(), preprocessing=fitted(16, fit, pixels),
        resolution=resolution,
    )  # fmt: skip
    assert found.spacing == pytest.approx(expected)


@pytest.mark.parametrize(
    ('spacings', 'expected'),
    [
        ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5)),
        ((0.5, 0.55, 0.5, 0.45), (0.5, 0.5)),
        ((0.5, 0.5, 0.5, 0.7), None),
        ((0.5, 0.5, 0.0, 0.0), (0.5, 0.5)),
        ((0.5, 0.0, 0.0, 0.0), None),
    ],
)
def test_spacing_is_told_where_most_have_one_and_all_are_close(tmp_path, spacings, expected):
    images = random_images(len(spacings), (8, 8, 1), np.uint8)
    items = [
        make_item(f'{n}', [image], split='train', spacing=(side, side, 0.0))
        for n, (image, side) in enumerate(zip(images, spacings, strict=True))
    ]
    write(items, tmp_path, 'small')
    found = input_pipeline.find_provenance(
        'small', tmp_path, 'train', modalities=(), classes=(), preprocessing=fitted(8, 'pad'), resolution=8
    )
    assert found.spacing == expected


def test_several_modalities_are_none(tmp_path):
    images = random_images(6, (8, 8, 1), np.uint8)
    items = [
        make_item(f'{n}', [image], split='train', patient=f'p{n}', modality=('CT', 'MR')[n == 5])
        for n, image in enumerate(images)
    ]
    write(items, tmp_path, 'small')

    def find(*modalities):
        return input_pipeline.find_provenance(
            'small',
            tmp_path,
            'train',
            modalities=modalities,
            classes=(),
            preprocessing=fitted(8, 'pad'),
            resolution=8,
        )

    assert [find(), find('CT'), find('MR')] == [
        dataclasses.replace(find(), modality=modality, patients_known=True) for modality in ('unknown', 'CT', 'MR')
    ]
