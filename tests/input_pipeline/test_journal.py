"""What a stopped command left is taken by the same command alone, and only what of it is whole."""

import contextlib
import hashlib
import json

import pytest

from input_pipeline.atomic import INCOMPLETE, complete_folder, resumable
from input_pipeline.errors import DataError
from input_pipeline.journal import AnswerJournal, read_owner

OWNER = {'final': 'set', 'command': {'step': 1}}


class Stopped(Exception):
    """Ends a block."""


def _begin(final, command, names):
    """Keeps a part of each name, then stops half way through another."""
    with contextlib.suppress(Stopped), resumable(final, command) as journal:
        for name in names:
            (journal.folder / name).write_text(f'{name} of {command}')
            journal.keep(name, {'said': name}, [name])
        (journal.folder / 'half').mkdir()
        (journal.folder / 'half' / 'file').write_text('ha')
        raise Stopped


def _names(folder):
    return sorted(path.name.partition('.')[0] for path in folder.iterdir())


def test_the_same_command_finds_what_is_whole_and_no_more(tmp_path):
    _begin(tmp_path / 'set', {'step': 1}, 'ab')
    assert _names(tmp_path) == ['incomplete']
    with resumable(tmp_path / 'set', {'step': 1}) as journal:
        assert _names(journal.folder) == ['a', 'b']
        assert [journal.find(name) for name in 'abc'] == [{'said': 'a'}, {'said': 'b'}, None]
        (journal.folder / 'c').write_text('c')
        journal.keep('c', {}, ['c'])
    assert (_names(tmp_path), _names(tmp_path / 'set')) == (['set'], ['a', 'b', 'c'])


def test_another_command_for_the_place_begins_anew(tmp_path):
    _begin(tmp_path / 'set', {'step': 1}, 'ab')
    with resumable(tmp_path / 'set', {'step': 2}) as journal:
        assert (len(journal), _names(journal.folder), journal.find('a')) == (0, [], None)
        assert len(list(tmp_path.glob(f'{INCOMPLETE}*'))) == 1
        (journal.folder / 'new').touch()
    assert (_names(tmp_path), _names(tmp_path / 'set')) == (['set'], ['new'])


def test_commands_for_other_places_leave_it_until_something_is_in_its_place(tmp_path):
    _begin(tmp_path / 'set', {'step': 1}, 'ab')
    _begin(tmp_path / 'other', {'step': 1}, 'c')
    with complete_folder(tmp_path / 'third', overwrite=False):
        pass
    with resumable(tmp_path / 'other', {'step': 1}) as journal:
        assert journal.find('c') == {'said': 'c'}
    with resumable(tmp_path / 'set', {'step': 1}) as journal:
        assert len(journal) == 2
    _begin(tmp_path / 'fourth', {}, 'a')
    (tmp_path / 'fourth').mkdir()  # an empty folder is no obstacle, as for `complete_folder`
    with complete_folder(tmp_path / 'fifth', overwrite=False):
        assert len(list(tmp_path.glob(f'{INCOMPLETE}*'))) == 2
    (tmp_path / 'fourth' / 'theirs').touch()
    with complete_folder(tmp_path / 'sixth', overwrite=False):
        pass
    assert _names(tmp_path) == ['fifth', 'fourth', 'other', 'set', 'sixth', 'third']


def test_what_is_at_work_is_not_taken(tmp_path):
    with resumable(tmp_path / 'set', {}) as first:
        first.keep('a', {}, [])
        with resumable(tmp_path / 'set', {}) as second:
            assert (second.folder != first.folder, len(second)) == (True, 0)
            (second.folder / 'theirs').touch()
        with pytest.raises(DataError, match='exists already'), resumable(tmp_path / 'set', {}):
            pass
        (tmp_path / 'set' / 'theirs').unlink()
    assert _names(tmp_path) == ['set']


def test_nothing_is_left_where_nothing_was_whole(tmp_path):
    _begin(tmp_path / 'a' / 'set', {}, '')
    assert _names(tmp_path) == []


def test_a_file_gets_its_name_in_the_end(tmp_path):
    with contextlib.suppress(Stopped), resumable(tmp_path / 'lines', {}, is_file=True) as journal:
        (journal.folder / 'lines').write_text('on')
        journal.keep('one', {'line': 'one'}, [])
        raise Stopped
    with resumable(tmp_path / 'lines', {}, is_file=True) as journal:
        assert (_names(journal.folder), journal.find('one')) == ([], {'line': 'one'})
        (journal.folder / 'lines').write_text('one')
    assert (_names(tmp_path), (tmp_path / 'lines').read_text()) == (['lines'], 'one')


@pytest.fixture
def kept(tmp_path):
    """A journal of two parts, the first of an input, and its path."""
    folder, given = tmp_path / 'new', tmp_path / 'input'
    folder.mkdir()
    given.write_text('input')
    journal = AnswerJournal(tmp_path / 'journal', folder, OWNER)
    for name, inputs in (('a', [given]), ('b', [])):
        (folder / name).write_text(name)
        files = [{'path': str(path), 'sha256': hashlib.sha256(path.read_bytes()).hexdigest()} for path in inputs]
        journal.keep(name, {'said': name, 'files': files}, [name])
    return tmp_path / 'journal', folder, given


def _found(path, folder):
    journal = AnswerJournal(path, folder, OWNER)
    return [name for name in 'ab' if journal.find(name)]


def test_inputs_and_outputs_are_compared(kept):
    path, folder, given = kept
    assert _found(path, folder) == ['a', 'b']
    given.write_text('other')
    assert (_found(path, folder), _names(folder)) == (['b'], ['b'])
    (folder / 'b').write_text('x')
    assert (_found(path, folder), _names(folder)) == ([], [])


@pytest.mark.parametrize('cut', [1, 5, 40])
def test_a_line_that_was_cut_short_is_no_part(kept, cut):
    path, folder, _ = kept
    path.write_bytes(path.read_bytes()[:-cut])
    journal = AnswerJournal(path, folder, OWNER)
    assert [name for name in 'ab' if journal.find(name)] == (['a', 'b'] if cut == 1 else ['a'])
    assert read_owner(path) == OWNER
    journal.keep('c', {'said': 'c'}, [])
    assert AnswerJournal(path, folder, OWNER).find('c') == {'said': 'c'}


@pytest.mark.parametrize(
    'line', [b'[]\n', b'{"name": "c"}\n', b'\0\0\n', b'{"name": [], "answer": {}, "files": {}}\n']
)
def test_a_line_that_is_damaged_ends_it(kept, line):
    path, folder, _ = kept
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b''.join([*lines[:2], line, lines[2]]))
    assert _found(path, folder) == ['a']


def test_no_file_elsewhere_is_touched(kept, tmp_path):
    path, folder, given = kept
    checksum = hashlib.sha256(b'no').hexdigest()
    for name in ('../input', str(given)):
        line = {'name': 'b', 'answer': {'said': 'b'}, 'files': {name: checksum}}
        path.write_bytes(path.read_bytes() + json.dumps(line).encode() + b'\n')
        assert _found(path, folder) == ['a']
    assert given.read_text() == 'input'
