"""What `prepare` asks about a data set as a whole, and names of files that are no text."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from input_pipeline.dataset.items import open_splits
from input_pipeline.prepare import main
from tests.input_pipeline.names import private_paths, pseudonym


def _write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _noise(seed, low=0, high=256, dtype=np.uint8):
    return np.random.default_rng(seed).integers(low, high, (9, 8), dtype)


def _prepare(folder, *more, source='image_folder'):
    arguments = [f'--source={source}', f'--path={folder}', '--name=small', f'--data_dir={folder.parent / "data"}']
    assert main([*arguments, *more]) == 0
    return json.loads((folder.parent / 'data/small/1.0.0/summary.json').read_text())


def _asked(summary, beginning):
    return [sentence for sentence in summary['plausibility'] if sentence.startswith(beginning)]


@pytest.mark.parametrize(('high', 'dtype'), [(12, np.uint8), (4096, np.uint16)])
def test_pictures_that_use_a_sliver_of_their_type_are_told_of(tmp_path, capsys, high, dtype):
    for number in range(12):
        _write(tmp_path / 'set' / f'{number}.png', _noise(number, 0, high, dtype))
    (note,) = _asked(_prepare(tmp_path / 'set'), 'The images use ')
    assert 'of 0 to 255,' in note or 'of 0 to 65535,' in note
    assert '--config.data.window=dataset' in note
    assert note in capsys.readouterr().out


def test_pictures_in_their_whole_range_raise_no_question(tmp_path):
    for number in range(12):
        _write(tmp_path / 'set' / f'{number}.png', _noise(number))
    assert not _asked(_prepare(tmp_path / 'set'), 'The images use ')


@pytest.mark.parametrize(
    ('ids', 'question'),
    [
        ((0, 1), ''),
        ((0, 1, 2, 4), 'No mask has the class 3; ids stay as they are'),
        (tuple(range(25)), 'The masks have 24 classes, up to 24: if these numbers count objects'),
        ((0,), 'No mask marks anything'),
    ],
)
def test_class_ids_are_questioned(tmp_path, ids, question):
    for number in range(12):
        mask = np.zeros((9, 8), np.uint8)
        mask.flat[: len(ids)] = ids
        _write(tmp_path / 'set' / 'images' / f'{number}.png', _noise(number))
        _write(tmp_path / 'set' / 'masks' / f'{number}.png', mask)
    summary = _prepare(tmp_path / 'set', source='paired_folder')
    assert summary['mask_ids'] == list(ids)
    about_masks = [sentence for sentence in summary['plausibility'] if 'mask' in sentence]
    assert [sentence.startswith(question) for sentence in about_masks] == ([True] if question else [])
    if len(ids) > 3:
        binary = _prepare(tmp_path / 'set', '--mask_threshold=0', '--overwrite', source='paired_folder')
        assert binary['mask_ids'] == [0, 1]


@pytest.mark.parametrize('value', [2, 100, 127])
def test_the_only_class_is_class_1(tmp_path, value):
    """Also where some masks are empty; the images, their splits and all else are as with masks of 0 and 1."""
    masks = [(_noise(number, 0, 2) if number else _noise(0, 0, 1)) for number in range(12)]
    for number, mask in enumerate(masks):
        for name, stored in (('one', mask), ('set', mask * np.uint8(value))):
            _write(tmp_path / name / 'images' / f'{number}.png', _noise(number))
            _write(tmp_path / name / 'masks' / f'{number}.png', stored)
    expected, summary = (
        _prepare(tmp_path / name, '--overwrite', source='paired_folder') for name in ('one', 'set')
    )
    assert expected['notes'] == []
    assert summary['notes'] == [f'All masks hold {value} and no other class, so it is stored as class 1.']
    for field in ('fingerprint', 'mask_ids', 'foreground', 'splits', 'window'):
        assert summary[field] == expected[field]
    opened, paths = open_splits('small', tmp_path / 'data')['train'], private_paths(tmp_path / 'data/small/1.0.0')
    for place in range(summary['splits']['train']):
        record = opened.read(place)
        np.testing.assert_array_equal(record.mask[..., 0], masks[int(paths[record.key].split('/')[-1][:-4])])


def test_swapped_masks_are_pointed_out(tmp_path):
    for number in range(12):
        mask = np.full((9, 8), 255, np.uint8)
        mask[2:5, 3:6] = 0
        _write(tmp_path / 'set' / 'images' / f'{number}.png', _noise(number))
        _write(tmp_path / 'set' / 'masks' / f'{number}.png', mask)
    (note,) = _asked(_prepare(tmp_path / 'set', source='paired_folder'), 'The foreground covers')
    assert note == (
        'The foreground covers 88% of the pixels of all masks: if black and white are swapped, invert the masks.'
    )


def test_what_is_passed_over_is_printed_and_kept(tmp_path, capsys):
    for number in range(12):
        _write(tmp_path / 'set' / f'{number}.png', _noise(number))
    for name in ('Thumbs.db', '.hidden', 'labels.csv', 'notes.txt'):
        (tmp_path / 'set' / name).write_bytes(b'x')
    summary = _prepare(tmp_path / 'set')
    assert summary['passed_over'] == {'hidden files': 1, 'system files': 1, 'texts (csv, json, txt, ...)': 2}
    assert 'passed over 1 hidden files, 1 system files, 2 texts (csv, json, txt, ...)' in capsys.readouterr().out


def test_images_of_two_values_are_pointed_out(tmp_path):
    for number in range(12):
        _write(tmp_path / 'set' / f'{number}.png', _noise(number))
    _write(tmp_path / 'set' / 'x.png', (_noise(0) > 99) * np.uint8(255))
    assert _asked(_prepare(tmp_path / 'set'), '1 images hold two values only, as masks do')


def test_names_that_are_not_utf8_are_read_and_written(tmp_path, capsys):
    folder = os.fsdecode(os.fsencode(tmp_path) + b'/B\xfccher')
    for number in range(12):
        path = os.fsdecode(os.fsencode(folder) + b'/Gr\xfcn/%d\xe4.png' % number)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.fromarray(_noise(number)).save(path)
    broken = os.fsdecode(os.fsencode(folder) + b'/Gr\xfcn/zerst\xf6rt.png')
    with open(broken, 'wb') as file:
        file.write(b'no picture')
    data_dir = tmp_path / 'data'
    arguments = ['--source=image_folder', f'--path={folder}', '--name=small', f'--data_dir={data_dir}']
    assert main(arguments) == 1
    assert r'Gr\xfcn/zerst\xf6rt.png: is not a readable picture' in capsys.readouterr().err
    assert main([*arguments, '--on_error=skip']) == 0
    summary = json.loads((data_dir / 'small/1.0.0/summary.json').read_text(encoding='utf-8'))
    assert summary['options']['path'] == pseudonym(r'B\xfccher')
    assert list(summary['classes']) == [r'Gr\xfcn']
    assert list(summary['refused']) == [pseudonym(r'Gr\xfcn/zerst\xf6rt.png')]
    with open(data_dir / 'small/1.0.0/records.csv', newline='', encoding='utf-8') as file:
        assert pseudonym(r'Gr\xfcn/7' + r'\xe4.png') in {row['key'] for row in csv.DictReader(file)}
    record = next(iter(open_splits('small', data_dir).values())).read(0)
    assert record.key == record.source
    assert record.label == r'Gr\xfcn'
