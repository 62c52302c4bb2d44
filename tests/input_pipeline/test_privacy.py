"""Nothing that `prepare` keeps tells who the patients are, whatever files and headers are called."""

import csv
import json

import pytest

from input_pipeline.dataset.items import open_splits
from input_pipeline.dataset.summary import read_records
from input_pipeline.prepare import main
from input_pipeline.readers import READERS
from tests.input_pipeline import planted
from tests.input_pipeline.items import make_item, random_images, write
from tests.input_pipeline.names import private_paths, pseudonym


def _prepare(folder, data_dir, *more, kind='image_folder', name='small'):
    source = planted.SOURCES.get(kind, kind)
    flags = [f'--source={source}', f'--path={folder}', f'--data_dir={data_dir}', f'--name={name}']
    return main([*flags, '--on_error=skip', *more])


@pytest.mark.parametrize('kind', planted.FOLDERS)
def test_no_name_is_kept(tmp_path, capsys, kind):
    create, flags = planted.FOLDERS[kind]
    folder = create(tmp_path / f'{planted.NAME} {planted.ACCESSION}')
    data_dir = tmp_path / 'data'
    assert _prepare(folder, data_dir, *flags, kind=kind) == 0, capsys.readouterr().err
    assert planted.find_leaks(data_dir) == []
    made = data_dir / 'small/1.0.0'
    summary = json.loads((made / 'summary.json').read_text())
    assert summary['refused']
    assert planted.PRIVATE not in summary['files']
    # What became of which file is still known, to who may read the private file.
    paths = private_paths(made)
    assert (made / planted.PRIVATE).stat().st_mode & 0o777 == 0o600
    with (made / 'records.csv').open() as file:
        named = [paths[row[field]] for row in csv.DictReader(file) for field in ('key', 'source', 'patient')]
    assert sum(planted.NAME in name for name in named) >= len(named) / 3 or kind == 'dicom'
    assert all(word in paths for word in summary['refused'])
    shown = capsys.readouterr().out  # the terminal is the user's own
    assert any(f'{paths[refused]}: ' in shown for refused in summary['refused'])
    assert f'{made / planted.PRIVATE} tells which name is which pseudonym' in shown


def test_the_search_finds_what_is_planted(tmp_path):
    """In records, in tables and in names."""
    images = random_images(12, (9, 9, 1), 'uint8')
    write([make_item(f'{place}', [image], patient=f'{planted.NAME}{place}') for place, image in enumerate(images)],
          tmp_path)  # fmt: skip
    found = planted.find_leaks(tmp_path)
    assert any('#records' in place for place in found)
    assert any('records.csv' in place for place in found)
    (tmp_path / planted.UID).mkdir()
    assert f'{planted.UID}: its name' in planted.find_leaks(tmp_path)


def test_order_classes_splits_and_patients_survive(tmp_path):
    folder = planted.pictures(tmp_path / 'set')
    assert _prepare(folder, tmp_path / 'data', r'--patient_pattern=/(Mustermann[^/]*)/') == 0
    made, splits = tmp_path / 'data/small/1.0.0', open_splits('small', tmp_path / 'data')
    paths, patients = private_paths(made), []
    for split in splits:
        table = read_records(made, split)
        keys = [paths[key] for key in table.keys]
        assert keys == sorted(keys)
        assert set(table.labels) <= {'healthy', 'ill'}
        patients += list(dict.fromkeys(table.patients))
    assert sorted(patients) == sorted(pseudonym(planted.patient(number)) for number in range(planted.PATIENTS))


def test_one_key_knows_a_patient_again_and_another_does_not(tmp_path):
    folder, data_dir = planted.pictures(tmp_path / 'set'), tmp_path / 'data'
    pattern = r'--patient_pattern=/(Mustermann[^/]*)/'
    keys = [tmp_path / 'one', tmp_path / 'other']
    for number, key in enumerate(keys):
        key.write_text(f'{number}' * 32)
        key.chmod(0o600)
    for name, key in (('first', keys[0]), ('again', keys[0]), ('apart', keys[1])):
        assert _prepare(folder, data_dir, pattern, f'--key={key}', name=name) == 0
    tables = {name: (data_dir / name / '1.0.0/records.csv').read_bytes() for name in ('first', 'again', 'apart')}
    private = [(data_dir / name / '1.0.0' / planted.PRIVATE).read_bytes() for name in ('first', 'again')]
    assert tables['first'] == tables['again']
    assert private[0] == private[1]
    words = [set(tables[name].replace(b'/', b',').split(b',')) for name in ('first', 'apart')]
    assert not any(len(word) == 16 for word in words[0] & words[1])
    for file in data_dir.rglob('*'):
        assert file.is_dir() or b'0' * 32 not in file.read_bytes()


def test_classes_that_are_patients_become_pseudonyms(tmp_path):
    """A folder for each patient looks like a class for each."""
    folder = tmp_path / 'set'
    for number in range(planted.PATIENTS):
        planted._picture(folder / planted.patient(number) / 'a.png', planted._noise(number))
    assert _prepare(folder, tmp_path / 'data', r'--patient_pattern=(\w+)/') == 0
    assert planted.find_leaks(tmp_path / 'data') == []


def test_a_file_that_stops_the_command_is_named_on_the_terminal(tmp_path, capsys):
    folder = planted.pairs(tmp_path / 'set')
    assert _prepare(folder, tmp_path / 'data', '--on_error=fail', kind='paired_folder') == 1
    assert f'images/{planted.UID}.png: has no mask' in capsys.readouterr().err
    assert not (tmp_path / 'data').exists()


def test_a_missing_key_is_refused_before_anything_is_read(tmp_path, capsys):
    folder = planted.pictures(tmp_path / 'set')
    assert _prepare(folder, tmp_path / 'data', f'--key={tmp_path / "none"}') == 1
    assert 'there is no such key' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='takes no --key'):
        main(['--source=phantom', '--name=p', f'--key={tmp_path / "none"}'])


def test_a_fault_is_told_without_what_it_says(tmp_path, capsys, monkeypatch):
    """What Python says of a fault may quote a header."""

    def scan(*_):
        raise ValueError(planted.NAME)

    monkeypatch.setitem(READERS, 'image_folder', scan)
    assert _prepare(planted.pictures(tmp_path / 'set'), tmp_path / 'data') == 1
    told = capsys.readouterr().err
    assert 'prepare: a fault of this program (ValueError), at the place above.' in told
    assert 'in scan' in told
    assert planted.NAME not in told.replace('raise ValueError(planted.NAME)', '')
