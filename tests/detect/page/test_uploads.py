"""What is sent to the page: limits, forms that break off, and names that come from outside."""

import http.client
import os
import socket
import sys
import time
import urllib.parse

import pytest

from detect.page import results, uploads
from tests.detect.page.conftest import MAX_BYTES, articles


def test_an_upload_over_the_limit_is_refused_before_any_of_it_is_stored(served, monkeypatch):
    monkeypatch.setattr(uploads._Parts, '_create', lambda *_: pytest.fail('a file was opened'))
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(served.url).netloc, timeout=30)
    connection.putrequest('POST', '/')
    connection.putheader('Content-Type', 'multipart/form-data; boundary=x')
    connection.putheader('Content-Length', str(MAX_BYTES + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert b'more than 1 MB' in response.read()
    connection.close()


def test_an_upload_of_unknown_length_is_cut_at_the_limit(served):
    sent = [b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n', bytes(MAX_BYTES)]
    headers = {'Content-Type': 'multipart/form-data; boundary=x'}
    response = served.session.post(served.url, data=iter(sent), headers=headers, timeout=30)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ('kind', 'body', 'status'),
    [
        ('text/plain', b'hello', 415),
        ('multipart/form-data', b'hello', 415),
        ('multipart/form-data; boundary=x', b'hello', 400),
        ('multipart/form-data; boundary=x', b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1', 400),
        (
            'multipart/form-data; boundary=x',
            b'--x\r\nContent-Disposition: form-data; name="prevalence"\r\n\r\n' + b'1' * 101 + b'\r\n--x--\r\n',
            400,
        ),
        (
            'multipart/form-data; boundary=x',
            b'--x\r\nContent-Disposition: form-data; name="files"; filename=""\r\n\r\n\r\n--x--\r\n',
            422,
        ),
    ],
)
def test_what_is_no_complete_form_with_files_gets_one_sentence(served, kind, body, status):
    response = served.session.post(served.url, data=body, headers={'Content-Type': kind}, timeout=30)
    assert response.status_code == status
    assert 'role="alert"' in response.text


def test_an_upload_that_breaks_off_leaves_nothing(served):
    host, port = urllib.parse.urlsplit(served.url).netloc.split(':')
    with socket.create_connection((host, int(port))) as connection:
        head = f'POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n'
        start = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + 1000 * 'a'
        connection.sendall(f'{head}Content-Length: 5000\r\n\r\n{start}'.encode())
        wait_for(lambda: [file for file in served.folder.rglob('*') if file.is_file()])
    wait_for(lambda: not list(served.folder.iterdir()))


def wait_for(condition):
    """Fails after half a minute."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail('it did not happen')


@pytest.fixture(scope='module')
def opened():
    """Returns `record()`: a list that takes the paths of all that this process writes from then on."""
    lists = []

    def note(event, arguments):
        writes = event in ('os.mkdir', 'os.rename', 'os.symlink') or (
            event == 'open' and bool(set(arguments[1] or '') & set('wxa+') or arguments[2] & os.O_ACCMODE)
        )
        if lists and writes and not isinstance(arguments[0], int):
            lists[-1].append(os.fsdecode(arguments[0]))

    sys.addaudithook(note)  # for good; it notes nothing once the list is gone
    yield lambda: lists.append([]) or lists[-1]
    lists.clear()


@pytest.mark.parametrize(
    ('name', 'shown'),
    [
        ('../../../escape.png', 'escape.png'),
        ('/tmp/escape.png', 'escape.png'),
        ('C:\\Users\\jane\\escape.png', 'escape.png'),
        ('<script>alert(1)<b>.png', '&lt;script&gt;alert(1)&lt;b&gt;.png'),
        ('"onload=alert(1).png', '"onload=alert(1).png'),
        ('nul\x00\x07l.png', 'null.png'),
        ('..', '<li>..: '),
        ('/', '<li>without a name: '),
        ('a' * 300 + '.png', 'a' * 100 + '<'),
    ],
)
def test_names_from_outside_are_only_shown(served, pictures, opened, name, shown):
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + name.replace('"', '\\"').encode()
    body += b'"\r\n\r\n' + pictures['real'] + b'\r\n--x--\r\n'
    written = opened()
    headers = {'Content-Type': 'multipart/form-data; boundary=x'}
    text = served.session.post(served.url, data=body, headers=headers, timeout=30).text
    assert shown in text
    assert '<script>' not in text
    assert '<b>' not in text
    allowed = (str(served.folder), os.environ['JAX_COMPILATION_CACHE_DIR'])
    assert any(path.startswith(str(served.folder)) for path in written)
    assert all(path.startswith(allowed) for path in written), written


def test_too_many_images_or_files_are_refused(served, pictures, monkeypatch):
    files = [(f'{number}.png', pictures['real']) for number in range(3)]
    monkeypatch.setattr(results, '_MOST_CASES', 2)
    assert 'These are 3 images or series' in served.post(*files).text
    monkeypatch.setattr(uploads, '_MOST_FILES', 2)
    response = served.post(*files)
    assert response.status_code == 413
    assert 'more than 2 files' in response.text


def test_files_of_the_same_name_are_all_told(served):
    (refused,) = articles(served.post(('scan.png', b'a'), ('scan.png', b'b')).text)
    assert refused.count('scan.png: ') == 2
