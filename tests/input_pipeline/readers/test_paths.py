"""Walking a folder: every file is found, refused with a reason, or counted by its kind."""

import os

import pytest

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers.paths import walk


def _walk(root):
    refusals = Refusals(skip=True)
    return [str(relative) for relative in walk(root, refusals)], refusals


def _touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')


def test_what_nobody_takes_for_data_is_counted_by_kind(tmp_path):
    _touch(
        *(tmp_path / name for name in ('b.png', 'deep/er/a.png', '.DS_Store', 'deep/._a.png', '.git/objects/x'))
    )
    _touch(*(tmp_path / name for name in ('Thumbs.db', '@eaDir/a.png', 'notes.TXT', 'deep/table.csv', 'README')))
    found, refusals = _walk(tmp_path)
    assert found == ['b.png', 'deep/er/a.png']
    assert refusals.passed_over == {
        'hidden files': 2,
        'hidden folders': 1,
        'system files': 1,
        'system folders': 1,
        'texts (csv, json, txt, ...)': 3,
    }
    assert not refusals.reasons


def test_links_inside_the_folder_are_followed(tmp_path):
    _touch(tmp_path / '.store' / 'a.png', tmp_path / '.store' / 'more' / 'b.png', tmp_path / 'c.png')
    (tmp_path / 'cat').symlink_to('.store', target_is_directory=True)
    (tmp_path / 'dog').mkdir()
    (tmp_path / 'dog' / 'b.png').symlink_to('../.store/more/b.png')
    found, refusals = _walk(tmp_path)
    assert found == ['c.png', 'cat/a.png', 'cat/more/b.png', 'dog/b.png']
    assert not refusals.reasons
    assert not refusals.notes
    (tmp_path / 'd.png').symlink_to('c.png')
    found, refusals = _walk(tmp_path)
    assert 'd.png' in found
    assert refusals.notes[0].startswith('1 links lead to what lies in the folder anyway')


def test_links_without_end_or_target_are_refused(tmp_path):
    _touch(tmp_path / 'set' / 'a' / 'a.png', tmp_path / 'set' / 'b' / 'b.png', tmp_path / 'outside' / 'x.png')
    links = {'a/self': '.', 'a/up': '..', 'a/to_b': '../b', 'b/to_a': '../a', 'gone.png': 'nothing.png'}
    links |= {'away': '../outside', 'away.png': '../outside/x.png'}
    for name, target in links.items():
        (tmp_path / 'set' / name).symlink_to(target)
    found, refusals = _walk(tmp_path / 'set')
    assert {'a/a.png', 'b/b.png', 'a/to_b/b.png'} <= set(found)
    assert len(found) < 10
    for name in ('a/self', 'a/up', 'a/to_b/to_a'):
        assert refusals.reasons[name] == 'is a link to a folder that holds it, which has no end; remove the link'
    assert 'leads nowhere' in refusals.reasons['gone.png']
    assert refusals.reasons['away'].startswith('is a link that leaves the folder; copy the folder instead')
    assert refusals.reasons['away.png'].startswith('is a link that leaves the folder; copy the file instead')


def test_many_links_to_one_folder_do_not_multiply(tmp_path):
    for depth in range(12):
        (tmp_path / f'.{depth}').mkdir()
        for side in 'lr':
            (tmp_path / f'.{depth}' / side).symlink_to(f'../.{depth + 1}')
    _touch(tmp_path / '.12' / 'a.png')
    (tmp_path / 'start').symlink_to('.0')
    found, refusals = _walk(tmp_path)
    assert len(found) == 1
    assert all('second link' in reason for reason in refusals.reasons.values())


def test_pipes_are_refused_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    assert _walk(tmp_path)[1].reasons == {'pipe.png': 'is a pipe, socket or device, not a file'}


def test_a_file_is_no_folder(tmp_path):
    _touch(tmp_path / 'a.png')
    with pytest.raises(DataError, match='is not a folder'):
        _walk(tmp_path / 'a.png')


def test_a_sentence_is_kept_once_and_kinds_are_added_up():
    refusals = Refusals(skip=False)
    for count in (1, 2):
        refusals.note('Two scans are upside down.')
        refusals.pass_over('hidden files', count)
    assert refusals.notes == ['Two scans are upside down.']
    assert refusals.passed_over == {'hidden files': 3}
