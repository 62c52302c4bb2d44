"""The whole comparison on phantoms of 16 pixels, in seconds: two families, of which one is stopped and goes on."""

import json
import signal
import time

import pytest

from tests.gan.command import Commands, finish

pytestmark = pytest.mark.slow
_MINUTES = '--minutes=0.15'


def _flags(out, only):
    return ['benchmarks.zoo', '--rehearse', '--resolution=16', f'--out={out}', _MINUTES, f'--only={only}']


def _wait_for_metrics(folder, process):
    end = time.monotonic() + 240
    while not ((folder / 'metrics.jsonl').exists() and (folder / 'metrics.jsonl').read_text().count('\n') > 1):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_comparison_goes_on_where_it_was_stopped(tmp_path):
    commands, out = Commands(tmp_path / 'shared'), tmp_path / 'zoo'
    stopped = commands.start(*_flags(out, 'lsgan'))
    _wait_for_metrics(out / 'lsgan', stopped)
    stopped.send_signal(signal.SIGTERM)
    done = finish(stopped)
    assert done.returncode != 0
    assert 'the same command goes on' in done.stdout
    assert not (out / 'rows.jsonl').exists()
    plan = (out / 'lsgan' / 'plan.json').read_bytes()

    done = commands.run(*_flags(out, 'dcgan,lsgan'))
    assert done.returncode == 0, done.stdout
    assert 'Going on from step' in done.stdout
    assert (out / 'lsgan' / 'plan.json').read_bytes() == plan
    rows = [json.loads(line) for line in (out / 'rows.jsonl').read_text().splitlines()]
    assert [row['name'] for row in rows] == ['dcgan', 'lsgan']
    assert all(row['scores']['recall']['value'] is not None and row['images'] > 0 for row in rows)
    text = (out / 'tables.md').read_text()
    assert '| DCGAN, LSGAN |' in text
    assert (out / 'grids.png').stat().st_size > 1000
    assert 'LSGAN' in (out / 'index.html').read_text()

    began = (out / 'rows.jsonl').read_bytes()
    again = commands.run(*_flags(out, 'dcgan,lsgan'))
    assert again.returncode == 0, again.stdout
    assert (out / 'rows.jsonl').read_bytes() == began
    unknown = commands.run(*_flags(out, 'dcgan,biggun'))
    assert unknown.returncode != 0
    assert '--only=biggun is no member' in unknown.stdout
    other = commands.run(*_flags(out, 'dcgan')[:-2], '--minutes=0.1')
    assert other.returncode != 0
    assert 'was begun with seconds = 9.0' in other.stdout
