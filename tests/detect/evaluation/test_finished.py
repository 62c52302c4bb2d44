"""Parts that are finished are kept, and measured anew where anything they depend on changed."""

import json
import math

import pytest

from detect.evaluation.finished import FinishedParts, Piece
from tests.gan.command import Commands, read_files


@pytest.fixture
def measure(tmp_path):
    """Returns `measure(common, depends)`: the result of a part, and whether it was measured now."""
    calls = []

    def run(common, depends, *, fails=False):
        finished = FinishedParts(tmp_path / 'unfinished', common)

        def work():
            calls.append(depends)
            (finished.files / 'picture').write_text('drawn')
            if fails:
                raise KeyboardInterrupt
            return {'value': math.nan, 'table': (1, 2.5)}

        before = len(calls)
        (result,) = finished.measure([Piece('part', depends, 1, work, ('picture',))]).values()
        return result, len(calls) > before

    return run


def test_a_result_is_kept_to_the_bit(measure, tmp_path):
    first, was_measured = measure({'a': 1}, {'b': 1})
    again, is_measured_again = measure({'a': 1}, {'b': 1})
    assert (was_measured, is_measured_again) == (True, False)
    assert json.dumps(first) == json.dumps(again) == '{"value": NaN, "table": [1, 2.5]}'


@pytest.mark.parametrize('change', [({'a': 2}, {'b': 1}), ({'a': 1}, {'b': 2})])
def test_what_depends_on_something_else_is_measured_anew(measure, change):
    measure({'a': 1}, {'b': 1})
    assert measure(*change)[1]


def test_a_part_without_its_file_is_measured_anew(measure, tmp_path):
    measure({}, {})
    (tmp_path / 'unfinished' / 'files' / 'picture').write_text('altered')
    assert measure({}, {})[1]
    (tmp_path / 'unfinished' / 'files' / 'picture').unlink()
    assert measure({}, {})[1]


def test_half_a_part_is_none(measure, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        measure({}, {}, fails=True)
    result, was_measured = measure({}, {})
    assert was_measured
    assert result['table'] == [1, 2.5]


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_with_the_same_numbers_in_the_end(detector_workdir, tmp_path):
    small = [
        '--attacked=4',
        '--attack_steps=1',
        '--certified=1',
        '--draws=100',
        '--explained=4',
        '--resamples=100',
    ]
    commands, out = Commands(tmp_path / 'shared'), tmp_path / 'out'
    flags = (f'--workdir={detector_workdir}', f'--out={out}', *small)
    done = commands.run('tests.detect.evaluation.evaluate_until_killed', *flags)
    assert done.returncode == -9, done.stdout
    assert [path.name for path in out.iterdir() if path.is_dir()] == ['unfinished']
    assert not (out / 'report.json').exists()
    written = []
    for told in (True, False):
        done = commands.run('detect.evaluate', *flags)
        assert done.returncode == 0, done.stdout
        assert ('Going on with 6 finished parts' in done.stdout) == told
        assert 'left]' in done.stdout
        assert not (out / 'unfinished').exists()
        written.append(read_files(out))
    assert written[0].keys() == written[1].keys() >= {'report.json', 'report.html', 'maps.png', 'curves.png'}
    assert written[0] == written[1]
