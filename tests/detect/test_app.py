"""The command: `detect.app` as users start and stop it."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.gan.command import ROOT, Commands, finish


@pytest.mark.parametrize('stop', [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_served_to_this_machine_alone_until_it_is_stopped(
    detector_workdir, tmp_path, monkeypatch, stop
):
    own, shared = tmp_path / 'temporary', tmp_path / 'shared'
    own.mkdir()
    monkeypatch.setenv('TMPDIR', str(own))
    commands = Commands(shared)
    process = commands.start('detect.app', f'--workdir={detector_workdir}', '--port=0', '--error_level=0.1')
    try:
        told = ''
        while not (found := re.search(r'Open http://127\.0\.0\.1:(\d+) ', told)):
            line = process.stdout.readline()
            assert line, told
            told += line
        port = int(found[1])
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f'http://127.0.0.1:{port}', timeout=30) as page:
            assert b'Ask the detector' in page.read()
        with pytest.raises(OSError, match=r'refused|unreachable|assign|timed out'):
            socket.create_connection(('127.0.0.2', port), timeout=5)
        assert [path.name.startswith('detect-app-') for path in own.iterdir()] == [True]
        process.send_signal(stop)
        done = finish(process)
    finally:
        process.kill()
    assert done.returncode == 0, done.stdout
    assert 'Traceback' not in done.stdout
    assert 'Warning' not in told
    assert list(own.iterdir()) == []


@pytest.mark.slow
def test_without_the_extra_its_name_is_told():
    code = (
        'import runpy, sys; sys.modules["uvicorn"] = None; sys.argv = ["detect.app", "--workdir=nowhere"]; '
        'runpy.run_module("detect.app", run_name="__main__")'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'uvicorn is missing; install the extra `app`' in done.stderr
    assert 'Traceback' not in done.stderr
