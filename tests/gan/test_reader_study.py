"""The command, as users start, stop and repeat it: from a trained run to a report."""

import json
import re
import signal

import pytest
import requests

from gan.reading.plan import read_study
from tests.gan.command import finish

pytestmark = pytest.mark.slow
DATA = ('--config.data.name=phantom_readers', '--config.data.phantom.count=60')


@pytest.fixture(scope='module')
def trained(commands, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('trained')
    done = commands.train(workdir, *DATA)
    assert done.returncode == 0, done.stdout
    return workdir


def _serve(commands, out, *flags):
    """A process that serves, and the links that it told."""
    process = commands.start('gan.reader_study', f'--out={out}', '--port=0', *flags)
    told = ''
    while 'Ctrl-C stops' not in told:
        line = process.stdout.readline()
        assert line, told
        told += line
    return process, re.findall(r'Reader \d: (http://127\.0\.0\.1:\d+/\S+)', told)


def _stop(process, number=signal.SIGINT):
    process.send_signal(number)
    done = finish(process)
    assert 'Traceback' not in done.stdout
    return done


def _answer(link, count, rule):
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(count):
            state = session.get(f'{link}/state', timeout=60).json()
            content = {'position': state['position'], 'confidence': rule, 'seconds': 1}
            assert session.post(f'{link}/answer', json=content, timeout=60).status_code == 200


def _fail(commands, out, *flags):
    done = commands.run('gan.reader_study', f'--out={out}', *flags)
    assert done.returncode == 1, done.stdout
    assert 'Traceback' not in done.stdout
    return done.stdout


def test_a_study_is_made_stopped_and_finished(commands, trained, tmp_path):
    assert '--workdir is missing' in _fail(commands, tmp_path / 'study')
    out, first = tmp_path / 'study', ('--cases=4', '--repeats=2', '--readers=2')
    process, links = _serve(commands, out, f'--workdir={trained}', *first)
    assert len(links) == 2
    _answer(links[0], 6, 2)
    _answer(links[1], 3, 5)
    process.kill()  # the hard way
    process.wait()
    process.stdout.close()
    assert '--readers=2, not 3, and a plan is not changed' in _fail(commands, out, '--readers=3', '--report')
    process, links = _serve(commands, out)
    _answer(links[1], 3, 5)
    done = _stop(process, signal.SIGTERM)
    assert done.returncode == 0
    assert f'Page: {out}/report.html' in done.stdout
    found = json.loads((out / 'report.json').read_text())
    assert [reader['reading']['accuracy']['value'] for reader in found['readers']] == [0.5, 0.5]
    assert sum(case.generated for case in read_study(out).truth) == 2
    assert not list(tmp_path.glob('incomplete.*'))
