"""The page over HTTP: blind, one case at a time, and kept answer by answer."""

import os
import urllib.parse

import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.reading.answers import AnswerSheet
from gan.reading.server import one_server
from tests.gan.reading.made import make_study, serve


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    with serve(make_study(tmp_path_factory.mktemp('served') / 'study', cases=12, readers=4)) as page:
        yield page


def test_nothing_but_pixels_differs_between_cases(served):
    """Length, headers and address of a real case are those of a generated one; the truth is in none of them."""
    link, sheet, seen = served.study.links[0], served.sheets[0], set()
    while not sheet.is_complete:
        position = len(sheet.answers)
        response = served.get(f'{link}/case/{position}')
        headers = {name: value for name, value in response.headers.items() if name != 'date'}
        seen.add((response.status_code, len(response.content), str(sorted(headers.items()))))
        case = sheet.order[position]
        values = np.frombuffer(response.content, '<u2').reshape(8, 8, 1)
        np.testing.assert_array_equal(values, served.study.images[case])
        state = served.answer(link, position, 1 if values.mean() < 2000 else 6).json()
        assert set(state) == {'position', 'total', 'height', 'width', 'channels', 'bits', 'scale'}
    assert len(seen) == 1
    assert not {'last-modified', 'etag'} & {name.lower() for name in headers}
    assert served.get(f'{link}/case/{len(sheet.order)}').status_code == 404
    page = served.get(link).text + served.get('page.js').text + served.get(f'{link}/state').text
    assert 'truth' not in page
    assert served.study.plan.sources['data'] not in page


def test_only_the_next_case_can_be_had(served):
    link = served.study.links[1]
    assert served.get(f'{link}/case/0').status_code == 200
    for position in (1, 5, 99):
        assert served.get(f'{link}/case/{position}').status_code == 404
    assert served.answer(link, 0, 2).json()['position'] == 1
    assert served.get(f'{link}/case/0').status_code == 404


def test_an_answer_counts_once(served):
    link = served.study.links[2]
    assert served.answer(link, 0, 2).status_code == 200
    again = served.answer(link, 0, 5)
    assert (again.status_code, again.json()['position']) == (409, 1)
    assert [answer.confidence for answer in served.sheets[2].answers] == [2]


@pytest.mark.parametrize(
    ('position', 'confidence', 'seconds'), [(0, 0, 1), (0, '3', 1), (0, None, 1), (0, 3, 'long'), (0, 3, -1)]
)
def test_what_is_no_answer_is_told(served, position, confidence, seconds):
    response = served.answer(served.study.links[3], position, confidence, seconds)
    assert response.status_code == 422
    assert served.sheets[3].answers == []


def test_long_and_broken_answers_are_refused(served):
    address = f'{served.url}/{served.study.links[3]}/answer'
    for content, status in ((b'x' * 5000, 413), (b'{', 422), (b'[]', 422), (b'{"position": 0}', 422)):
        assert served.session.post(address, data=content, timeout=60).status_code == status
    assert served.sheets[3].answers == []


@pytest.mark.parametrize('path', ['nobody', 'nobody/state', 'nobody/case/0', '', '../plan.json', 'truth.json'])
def test_who_has_no_link_sees_nothing(served, path):
    response = served.get(path)
    assert response.status_code == 404
    assert 'Traceback' not in response.text


def test_foreign_pages_are_refused(served):
    link = served.study.links[3]
    assert served.get(f'{link}/state', Host='evil.example').status_code == 421
    assert served.get(f'{link}/state', Origin='http://evil.example').status_code == 403
    response = served.get(link)
    assert "default-src 'none'" in response.headers['Content-Security-Policy']
    assert response.headers['Cache-Control'] == 'no-store'
    host = urllib.parse.urlsplit(served.url).hostname
    assert host == '127.0.0.1'


def test_a_full_disk_costs_no_answer_that_was_kept(tmp_path, monkeypatch):
    study = make_study(tmp_path / 'study')
    with serve(study) as page:
        link = study.links[0]
        page.answer(link, 0, 2)

        def fail(_):
            raise OSError(28, 'No space left on device')

        with monkeypatch.context() as patch:
            patch.setattr(os, 'fsync', fail)
            response = page.answer(link, 1, 3)
        assert response.status_code == 507
        assert 'No space left' in response.text
        assert page.answer(link, 1, 4).status_code == 200
    assert [answer.confidence for answer in AnswerSheet(study.folder, study.plan, 0).answers] == [2, 4]


def test_after_a_stop_everybody_goes_on(tmp_path):
    study = make_study(tmp_path / 'study')
    for reader, count in ((0, 3), (1, 1)):
        with serve(study) as page:
            for position in range(count):
                assert page.answer(study.links[reader], position, 5).status_code == 200
    with serve(study) as page:
        states = [page.get(f'{link}/state').json()['position'] for link in study.links]
    assert states == [3, 1]


def test_one_process_serves_a_study(tmp_path):
    folder = make_study(tmp_path / 'study').folder
    with one_server(folder), pytest.raises(UserError, match='another process'), one_server(folder):
        pass
    with one_server(folder):
        pass
