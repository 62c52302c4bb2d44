"""Damaged files of every kind, sent to the page: each gets its answer or a sentence, soon, in bounded memory."""

import os
import resource
import time

import pytest

from tests.detect.page.conftest import articles
from tests.fuzz.targets import TARGETS, Case

COUNT = int(os.environ.get('DAMAGED_UPLOADS', '40'))
_AT_ONCE = 10  # files of a request
_KINDS = [name for name in TARGETS if name != 'index']


@pytest.mark.slow
def test_damaged_files_get_an_answer_or_a_sentence(served, tmp_path):
    cases = {}
    for kind in _KINDS:
        (tmp_path / kind).mkdir()
        cases[kind] = Case(TARGETS[kind], tmp_path / kind)
    at_rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for first in range(0, COUNT, _AT_ONCE):
        sent = []
        for number in range(first, first + _AT_ONCE):
            path = cases[_KINDS[number % len(_KINDS)]].create(number)
            sent.append((f'{number}{"".join(path.suffixes)}', path.read_bytes()))
        started = time.monotonic()
        response = served.post(*sent)
        assert time.monotonic() - started < 30, first
        assert response.status_code in (200, 422), (first, response.text)
        assert response.status_code == 422 or len(articles(response.text)) >= 1, first
        assert 'nobody expected' not in response.text, first
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - at_rest) / 2**20
    assert grown < 2, f'{grown:.2f} GiB'
