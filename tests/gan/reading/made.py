"""Studies of drawn images, made and answered without a generator."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import requests

from foundation.serving.guard import names_of
from foundation.serving.server import address_of, create_server, listen
from gan.reading.answers import AnswerSheet
from gan.reading.plan import CaseTruth, OpenStudy, read_study, write_study
from gan.reading.server import create_app, read_sheets

FIELDS = {'cases': 8, 'repeats': 2, 'readers': 2, 'seed': 3, 'margin': 0.1, 'alpha': 0.05, 'bits': 12}
SOURCES = {
    'data': 'phantom',
    'split': 'test',
    'fingerprint': 'f' * 64,
    'patients_known': True,
    'weights_sha256': 'a' * 64,
    'step': 1,
    'workdir': 'runs/x',
    'generated': None,
}


def make_study(folder: Path, labels: Sequence[str] = ('',), **changes) -> OpenStudy:
    """A study of 8x8 noise in which generated images are brighter."""
    fields = {**FIELDS, **changes}
    half, generator = fields['cases'] // 2, np.random.default_rng(0)
    images = generator.integers(0, 2000, (fields['cases'], 8, 8, 1)).astype(np.uint16)
    images[half:] += 2000
    truth = [
        CaseTruth(generated, labels[number % len(labels)], number)
        for generated in (False, True)
        for number in range(half)
    ]
    write_study(folder, fields, images, truth, SOURCES)
    return read_study(folder)


def answer_all(sheet: AnswerSheet, confidences: Sequence[int]) -> None:
    """Answers every case as its number says."""
    while not sheet.is_complete:
        sheet.add(confidences[sheet.order[len(sheet.answers)]], 1.5)


@dataclasses.dataclass(frozen=True)
class ServedStudy:
    """A page that is being served.

    Attributes:
      url: of the server.
      study: that it shows.
      sheets: that it fills.
      session: for requests that no proxy of this machine's environment sees.
    """

    url: str
    study: OpenStudy
    sheets: list[AnswerSheet]
    session: requests.Session

    def get(self, path: str, **headers: str) -> requests.Response:
        """Asks for something."""
        return self.session.get(f'{self.url}/{path}', headers=headers, timeout=60)

    def answer(self, link: str, position: Any, confidence: Any, seconds: Any = 1.0) -> requests.Response:
        """Sends an answer as the page does."""
        content = {'position': position, 'confidence': confidence, 'seconds': seconds}
        return self.session.post(f'{self.url}/{link}/answer', json=content, timeout=60)


@contextlib.contextmanager
def serve(study: OpenStudy) -> Iterator[ServedStudy]:
    """Serves until it is left."""
    sheets = read_sheets(study)
    with listen('127.0.0.1', 0) as listener, requests.Session() as session:
        session.trust_env = False
        server = create_server(create_app(study, sheets, names_of('127.0.0.1')))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield ServedStudy(address_of('127.0.0.1', listener), study, sheets, session)
        finally:
            server.should_exit = True
            thread.join()
