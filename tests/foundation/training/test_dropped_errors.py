"""What a reader's other tasks raise is not told beside its first error."""

import asyncio
import gc
import logging
import sys

import pytest

from foundation.training import checkpoints
from foundation.training.checkpoints import first_error_alone


@pytest.fixture
def told(caplog, monkeypatch):
    """What reaches the log and the hook for errors that nobody can catch."""
    hooked = []
    monkeypatch.setattr(sys, 'unraisablehook', lambda unraisable: hooked.append(str(unraisable.exc_value)))
    monkeypatch.setattr(logging.getLogger('asyncio'), 'filters', [])
    return lambda: hooked + [record.exc_info[1].args[0] for record in caplog.records if record.exc_info]


@pytest.fixture
def ours_is_the_reader(monkeypatch):
    monkeypatch.setattr(checkpoints, '_READER', __file__)


def _drop_a_future() -> None:
    loop = asyncio.new_event_loop()
    loop.create_future().set_exception(OSError('future'))
    loop.close()
    gc.collect()


async def _read():
    try:
        await asyncio.sleep(0)
    except BaseException as error:
        raise OSError('coroutine') from error


def _drop_a_coroutine() -> None:
    coroutine = _read()
    coroutine.send(None)
    del coroutine
    gc.collect()


@first_error_alone()
def _fail():
    _drop_a_future()
    _drop_a_coroutine()
    raise OSError('first')


@pytest.mark.slow
@pytest.mark.usefixtures('ours_is_the_reader')
def test_the_first_error_is_told_alone_however_late_the_others_are_let_go(told):
    with pytest.raises(OSError, match='first'):
        _fail()
    _drop_a_future()
    _drop_a_coroutine()
    with pytest.raises(OSError, match='first'):
        _fail()
    assert told() == []


@pytest.mark.usefixtures('ours_is_the_reader')
def test_after_reading_without_an_error_all_are_told(told):
    with first_error_alone():
        pass
    _drop_a_future()
    _drop_a_coroutine()
    assert sorted(told()) == ['coroutine', 'future']


def test_coroutines_of_others_are_told(told):
    with pytest.raises(OSError, match='first'):
        _fail()
    assert told() == ['coroutine']
