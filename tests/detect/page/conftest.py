"""The page, served by a thread of the tests."""

import contextlib
import dataclasses
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from detect.judge import Judge
from detect.page.server import Service, create_app
from foundation.serving.guard import names_of
from foundation.serving.server import create_server, listen
from input_pipeline.records import reader_options
from tests.detect import drawn

MAX_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class Served:
    """A page that is being served.

    Attributes:
      url: of the page.
      folder: of all requests; empty between them.
      session: for requests that no proxy of this machine's environment sees.
    """

    url: str
    folder: Path
    session: requests.Session

    def get(self, path: str) -> requests.Response:
        """Asks for a page."""
        return self.session.get(self.url + path, timeout=60)

    def post(self, *files: tuple[str, bytes], **options: Any) -> requests.Response:
        """Sends files, and the fields of `data`, as the form of the page does."""
        sent = [('files', file) for file in files]
        return self.session.post(self.url, files=sent, timeout=60, **options)


@contextlib.contextmanager
def serve(judge: Judge, folder: Path) -> Iterator[Served]:
    """Serves until it is left."""
    service = Service(judge, reader_options(axis=2, pixel_limit=10**6), MAX_BYTES, names_of('127.0.0.1'))
    with listen('127.0.0.1', 0) as listener, requests.Session() as session:
        session.trust_env = False
        server = create_server(create_app(service, folder))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Served(f'http://127.0.0.1:{listener.getsockname()[1]}', folder, session)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope='package')
def served(judge, tmp_path_factory):
    """The page of the tiny detector."""
    with serve(judge, tmp_path_factory.mktemp('requests')) as page:
        yield page


@pytest.fixture(scope='package')
def pictures(tmp_path_factory) -> dict[str, bytes]:
    """PNG files of a drawn patient and of a fake."""
    folder = tmp_path_factory.mktemp('pictures')
    real = drawn.draw_pictures(3, 'test')[0]
    fake = drawn.add_blocks(real, 0)
    files = {'real': real, 'fake': fake}
    return {name: drawn.save_picture(folder / f'{name}.png', own).read_bytes() for name, own in files.items()}


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """After every test the folder of requests is empty."""
    yield
    if 'served' in request.fixturenames:
        assert list(request.getfixturevalue('served').folder.iterdir()) == []


def articles(page):
    """The texts of all articles, without tags."""
    return [re.sub('<[^>]+>', ' ', own) for own in re.findall('<article.*?</article>', page, flags=re.DOTALL)]
