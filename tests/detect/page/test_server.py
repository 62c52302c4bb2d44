"""The page over HTTP: what it answers, what it refuses, and what it leaves behind."""

import contextlib
import hashlib
import re
import socket
import threading
import time
import urllib.parse
import zlib

import nibabel as nib
import numpy as np
import pydicom
import pytest
import uvicorn

from detect.page import html, results, server
from foundation.serving import connections, guard
from foundation.serving import server as serving
from foundation.training.errors import UserError
from input_pipeline.records import reader_options
from tests.detect.page.conftest import MAX_BYTES, articles
from tests.input_pipeline.series import random_values, save_series


def test_a_fake_and_a_real_picture_are_told_apart(served, pictures, judge):
    response = served.post(('real.png', pictures['real']), ('fake.png', pictures['fake']))
    assert response.status_code == 200
    real, fake = articles(response.text)
    assert 'real.png' in real
    assert 'fake.png' in fake
    assert 'It has 8 bits a pixel, the real training images more than 8 bits' in real
    assert re.search(r'Verdict:\s+synthetic', fake)
    assert not re.search(r'Verdict:\s+synthetic', real)
    assert hashlib.sha256(pictures['fake']).hexdigest() in fake
    assert judge.detector.checksum in response.text
    assert response.text.count('src="data:image/png;base64,') == 2
    assert 'no proof and no diagnosis' in response.text


def test_three_pieces_of_evidence_are_told_apart(served, pictures, tmp_path):
    (article,) = articles(served.post(('fake.png', pictures['fake'])).text)
    for told in ('Trace of synthesis', 'Distance from real training images', 'Kind of picture'):
        assert told in article
    assert re.search(r'[01]\.\d{3} of real ones are as far, [01]\.\d{3} of synthetic ones', article)
    assert 'Slices that decided' not in article
    paths = save_series(tmp_path, random_values(3, 64, 64), [0.0, 1.0, 2.0])
    (article,) = articles(served.post(*((path.name, path.read_bytes()) for path in paths)).text)
    assert re.search(r'Slices that decided, the most suspicious first\s*[123]\b', article)


def test_odds_follow_the_stated_prevalence(served, pictures):
    by_percent = {}
    for percent in ('', '0.1', '50'):
        text = served.post(('fake.png', pictures['fake']), data={'prevalence': percent}).text
        assert ('odds of' in text) == bool(percent)
        by_percent[percent] = text
    assert 'If 0.1% of your images are synthetic' in by_percent['0.1']
    assert 'value="0.1"' in by_percent['0.1']
    odds = {name: re.search('odds of (.*?) for synthetic', by_percent[name])[1] for name in ('0.1', '50')}
    assert odds['0.1'] != odds['50']


@pytest.mark.parametrize('percent', ['0', '100', '-1', 'nan', 'inf', 'many', '<b>'])
def test_an_impossible_prevalence_gets_one_sentence(served, pictures, percent):
    response = served.post(('fake.png', pictures['fake']), data={'prevalence': percent})
    assert response.status_code == 422
    assert 'above 0 and below 100 percent' in response.text
    assert '<b>' not in response.text


@pytest.mark.parametrize(
    ('name', 'change'),
    [
        ('cut.png', lambda good: good[: len(good) // 2]),
        ('text.png', lambda good: b'no image at all'),
        ('notes.txt', lambda good: b'no image at all'),
        ('empty.png', lambda good: b''),
        ('empty', lambda good: b''),
        ('broken.dcm', lambda good: bytes(128) + b'DICM' + bytes(range(200))),
        ('broken.nii.gz', lambda good: b'\x1f\x8b' + bytes(50)),
        ('broken.nii', lambda good: bytes(348)),
        ('archive.zip', lambda good: b'PK\x03\x04' + bytes(50)),
    ],
)
def test_a_bad_file_gets_a_sentence_and_the_other_is_answered(served, pictures, name, change):
    response = served.post((name, change(pictures['real'])), ('good.png', pictures['real']))
    assert response.status_code == 200
    good, refused = articles(response.text)
    assert 'good.png' in good
    assert 'Not answered' in refused
    assert re.search(rf'{re.escape(name)}: \w+', refused)
    assert 'Traceback' not in response.text
    assert str(served.folder) not in response.text
    assert 'upload0' not in response.text


def test_more_pixels_than_allowed_are_refused(served):
    chunks = [b'IHDR' + (10**5).to_bytes(4) * 2 + b'\x08\0\0\0\0', b'IDAT']
    wide = b'\x89PNG\r\n\x1a\n' + b''.join(
        (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) for chunk in chunks
    )
    (refused,) = articles(served.post(('wide.png', wide)).text)
    assert re.search('wide.png: .*pixel', refused)


def test_a_series_is_judged_as_one_and_what_its_headers_say_is_told_apart(served, tmp_path):
    paths = save_series(tmp_path, random_values(3, 64, 64), [0.0, 1.0, 2.0])
    assert 'nothing of being synthetic' in served.post(*((path.name, path.read_bytes()) for path in paths)).text
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.SyntheticData = 'YES'
        dataset.save_as(path)
    (article,) = articles(served.post(*((path.name, path.read_bytes()) for path in paths)).text)
    assert '00.dcm and 2 more of its series' in article
    assert 'it is synthetic (SyntheticData (0008,001C) = YES)' in article
    assert 'All 3 slices' in article


def test_another_modality_is_answered_with_the_reason(served, tmp_path):
    (path,) = save_series(tmp_path, random_values(1, 64, 64), [0.0])
    dataset = pydicom.dcmread(path)
    dataset.Modality = 'US'
    dataset.save_as(path)
    (article,) = articles(served.post(('scan', path.read_bytes())).text)
    assert re.search("Verdict:\\s+don't know", article)
    assert 'It is US, and the detector was trained on' in article
    assert 'Probability' not in article


def test_pages_that_a_foreign_site_may_have_asked_for_are_refused(served, pictures):
    file = ('real.png', pictures['real'])
    for headers, status in [
        ({'Host': 'evil.example'}, 421),
        ({'Host': ''}, 421),
        ({'Origin': 'http://evil.example'}, 403),
        ({'Origin': 'null'}, 403),
        ({'Sec-Fetch-Site': 'cross-site'}, 403),
    ]:
        response = served.post(file, headers=headers)
        assert response.status_code == status, headers
        assert 'Verdict' not in response.text
    port = urllib.parse.urlsplit(served.url).port
    for host in (f'localhost:{port}', f'[::1]:{port}', '192.0.2.1'):
        headers = {'Host': host, 'Origin': f'http://{host}', 'Sec-Fetch-Site': 'same-origin'}
        assert served.post(file, headers=headers).status_code == 200


@pytest.mark.parametrize('path', ['/', '/page.css', '/page.js', '/nothing'])
def test_browsers_are_told_to_load_nothing_from_elsewhere(served, path):
    response = served.get(path)
    assert response.status_code == (404 if path == '/nothing' else 200)
    assert "default-src 'none'" in response.headers['Content-Security-Policy']
    assert response.headers['Cache-Control'] == 'no-store'
    assert 'server' not in response.headers
    assert not re.findall('https?://', response.text)


def _wait_until(holds):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_nobody_expected_is_one_sentence_and_told_on_the_terminal_only(served, pictures, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError('sec' + 'ret')

    with monkeypatch.context() as patch:
        patch.setattr(results, 'answer_one', fail)
        response = served.post(('real.png', pictures['real']))
        assert 'real.png: cannot be judged' in response.text
        assert 'A file could not be judged (RuntimeError), at' in caplog.text
        assert 'secret' not in caplog.text  # it might be a name
        patch.setattr(server, 'answer_files', fail)
        broken = served.post(('real.png', pictures['real']))
    assert broken.status_code == 500
    assert 'nobody expected' in broken.text
    assert 'Content-Security-Policy' in broken.headers
    assert 'secret' not in response.text + broken.text
    _wait_until(lambda: caplog.text.count('RuntimeError: secret') == 1)  # told after the answer is sent


def test_requests_are_answered_one_after_the_other(served, pictures, monkeypatch):
    running, most = [0], [0]

    def count(*_):
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1
        return results.PageResults((), ())

    monkeypatch.setattr(server, 'answer_files', count)
    threads = [threading.Thread(target=served.post, args=(('a.png', pictures['real']),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


@pytest.mark.parametrize(
    ('probability', 'expected'),
    [
        (0.5, '1.0 to 1'),
        (0.75, '3.0 to 1'),
        (0.01, '1 to 99'),
        (0.999, '999 to 1'),
        (1.0, 'more than 1,000,000 to 1'),
        (0.0, '1 to more than 1,000,000'),
    ],
)
def test_odds(probability, expected):
    assert html.odds(probability) == expected


def test_volumes_of_one_file_are_told_apart(served, tmp_path):
    values = np.random.default_rng(0).integers(0, 1000, (64, 64, 2, 2)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / 'four.nii.gz')
    first, second = articles(served.post(('four.nii.gz', (tmp_path / 'four.nii.gz').read_bytes())).text)
    assert 'four.nii.gz, volume 1' in first
    assert 'four.nii.gz, volume 2' in second


@pytest.mark.parametrize(('host', 'warned'), [('127.0.0.1', False), ('0.0.0.0', True)])
def test_who_lets_other_machines_in_is_warned(judge, monkeypatch, capsys, host, warned):
    class Never(uvicorn.Server):
        def __init__(self):
            pass

        def run(self, sockets):
            assert sockets[0].getsockname()[0] == host
            raise KeyboardInterrupt

    monkeypatch.setattr(server, 'create_server', lambda *_: Never())
    monkeypatch.setattr(serving.signal, 'signal', lambda *_: None)
    server.serve(judge, reader_options(axis=2, pixel_limit=10**6), MAX_BYTES, host, 0)
    told = capsys.readouterr().out
    assert f'Open http://{host}:' in told
    assert ('Warning' in told) == warned


def test_a_taken_port_is_told(served):
    port = urllib.parse.urlsplit(served.url).port
    with pytest.raises(UserError, match=f'port {port} .*choose another'):
        serving.listen('127.0.0.1', port)


def test_a_page_for_all_goes_by_the_names_of_its_machine(monkeypatch):
    monkeypatch.setattr(socket, 'gethostname', lambda: 'Radiology')
    assert guard.names_of('127.0.0.1') == {'localhost'}
    assert guard.names_of('::1') == {'localhost'}
    assert 'radiology' in guard.names_of('0.0.0.0')


def _address(served):
    host, _, port = served.url.removeprefix('http://').partition(':')
    return host, int(port)


def test_many_silent_connections_keep_nobody_out_and_are_closed(served, pictures, monkeypatch):
    monkeypatch.setattr(connections, 'SECONDS_TO_ASK', 1.0)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(_address(served), 30)) for _ in range(200)]
        silent[0].sendall(b'GET / HTTP/1.1\r\nHost: 127')  # headers that never end
        assert served.get('').status_code == 200
        assert served.post(('a.png', pictures['real'])).status_code == 200
        assert [one.recv(1) for one in silent] == [b''] * 200


def test_files_that_stop_coming_are_given_up_and_nothing_is_left(served, monkeypatch):
    monkeypatch.setattr(connections, 'SECONDS_OF_SILENCE', 0.5)
    head = (
        'POST / HTTP/1.1\r\nHost: {}:{}\r\nContent-Length: 1000\r\n'
        'Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n'
    )
    with socket.create_connection(_address(served), 30) as slow:
        slow.sendall(head.format(*_address(served)).encode())
        answer = b''.join(iter(lambda: slow.recv(2**16), b''))
    assert answer.startswith(b'HTTP/1.1 408')
    assert b'came too slowly' in answer
    assert list(served.folder.iterdir()) == []
