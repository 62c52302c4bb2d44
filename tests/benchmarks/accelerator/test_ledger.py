"""Rows and tables are readable at any moment, and tell what is missing."""

import json

import pytest

from benchmarks.accelerator import ledger

_TITLES = {'speed': ('Speed', 'How fast.')}


@pytest.fixture
def book(tmp_path):
    return ledger.Ledger(tmp_path, _TITLES)


def _write(book, task, status='done', run='1', device='GPU', xla_flags='', **figures):
    book.write(part='speed', task=task, device=device, xla_flags=xla_flags, run=run, status=status, **figures)


def _tables(book) -> str:
    return (book._folder / ledger.TABLES_FILE).read_text()


def test_rows_come_back_as_they_were_written(book):
    _write(book, 'a', value=0.5, name='x', which=None)
    assert book.rows(task='a')[0] | {} == {
        'part': 'speed', 'task': 'a', 'status': 'done', 'value': 0.5, 'name': 'x', 'which': None,
        'device': 'GPU', 'xla_flags': '', 'run': '1',
    }  # fmt: skip
    assert book.rows(task='b') == []


def test_a_line_that_was_cut_short_spoils_no_other(book):
    _write(book, 'a', value=1)
    path = book._folder / ledger.ROWS_FILE
    path.write_text(path.read_text() + '{"part": "speed", "ta')
    _write(book, 'b', value=2)
    assert [row['task'] for row in book.rows()] == ['a', 'b']
    assert json.loads(path.read_text().splitlines()[-1])['task'] == 'b'


def test_tables_have_a_column_for_each_figure_and_numbers_of_three_digits(book):
    _write(book, 'a', table='steps', seconds=0.123456, images=12345.6, passes=True, which=['x', 'y|z'])
    _write(book, 'b', table='steps', seconds=2.0, more='text')
    lines = [line for line in _tables(book).splitlines() if line.startswith('|')]
    assert lines == [
        '| seconds | images | passes | which | more |',
        '| ---: | ---: | ---: | ---: | --- |',
        '| 0.123 | 12346 | yes | x, y\\|z |  |',
        '| 2 |  |  |  | text |',
    ]


def test_what_failed_or_was_left_out_is_listed_with_its_reason(book):
    _write(book, 'a', status='left out', reason='it takes 9 s')
    _write(book, 'b', status='failed', reason='ValueError: no')
    assert '- a: left out; it takes 9 s\n- b: failed; ValueError: no' in _tables(book)


def test_a_later_run_takes_the_place_of_an_earlier_one(book):
    _write(book, 'a', status='left out', reason='it takes 9 s')
    _write(book, 'b', seconds=1)
    _write(book, 'a', run='2', seconds=3)
    _write(book, 'b', run='2', seconds=2)
    tables = _tables(book)
    assert 'left out' not in tables
    assert '| 3 |' in tables
    assert '| 2 |' in tables
    assert '| 1 |' not in tables


def test_what_was_measured_stays_when_a_later_run_has_no_time_for_it(book):
    _write(book, 'a', seconds=1)
    _write(book, 'a', run='2', status='left out', reason='it takes 9 s')
    assert '| 1 |' in _tables(book)
    assert 'left out' not in _tables(book)


def test_devices_are_told_apart(book):
    _write(book, 'a', seconds=1)
    _write(book, 'a', device='another', seconds=2)
    assert _tables(book).count('| another |') == 1
    assert _tables(book).startswith('- GPU: 1\n- another: 1\n')


def test_done_means_done_to_the_end_on_this_device(book):
    _write(book, 'a', seconds=1)
    assert not book.is_done('speed', 'a', 'GPU', '')  # more rows may have been to come
    _write(book, 'a', status='over', seconds=9)
    assert '| 9 |' not in _tables(book)
    assert book.is_done('speed', 'a', 'GPU', '')
    assert not book.is_done('speed', 'a', 'another', '')
    _write(book, 'a', status='timed out', reason='too long')
    assert not book.is_done('speed', 'a', 'GPU', '')


def test_rows_of_other_flags_are_not_the_same(book):
    _write(book, 'a', seconds=1)
    _write(book, 'a', status='over')
    assert not book.is_done('speed', 'a', 'GPU', '--fast')
    _write(book, 'a', xla_flags='--fast', seconds=2)
    _write(book, 'a', xla_flags='--fast', status='over')
    assert book.is_done('speed', 'a', 'GPU', '--fast')
    tables = _tables(book)
    assert 'XLA_FLAGS: none; or `--fast`' in tables
    assert '| 1 |  |' in tables
    assert '| 2 | --fast |' in tables
