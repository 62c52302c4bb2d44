"""Whom a network may know of the patients that it is measured on, and where nobody can tell."""

import re
from types import SimpleNamespace

import pytest

from backbones.images import ImageRequest
from input_pipeline import DataError, ImageData
from segment import data
from segment.data import describe_known

REQUEST = object.__new__(ImageRequest)  # nothing but its name is looked at
object.__setattr__(REQUEST, 'name', 'old')


def _images(name, patients, known=True):
    records = SimpleNamespace(patients=patients)
    kind = type('_Images', (ImageData,), {'name': name, 'patients_known': known, 'records': records})
    return object.__new__(kind)


@pytest.mark.parametrize(
    ('trained', 'measured', 'expected'),
    [
        (_images('old', ['a', 'b']), _images('new', ['c']), ''),
        (_images('old', ['a', 'b']), _images('new', ['b', 'c']), r"1 patients are named like .* of old, as 'b'"),
        (_images('old', ['a'], known=False), _images('new', ['a']), 'patients of new or of old are not known'),
        (_images('old', ['a']), _images('new', ['a'], known=False), 'patients of new or of old are not known'),
    ],
)
def test_patients_who_may_be_known_are_told(monkeypatch, trained, measured, expected):
    monkeypatch.setattr(data, 'open_stored', lambda request: trained)
    told = describe_known(REQUEST, measured)
    assert re.fullmatch(expected and f'.*{expected}.*', told)


def test_data_that_are_not_here_are_told(monkeypatch):
    def open_missing(request):
        raise DataError('there is no data set')

    monkeypatch.setattr(data, 'open_stored', open_missing)
    told = describe_known(REQUEST, _images('new', ['a']))
    assert told.startswith('Note: old is not on this machine')
