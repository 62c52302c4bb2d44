"""The rehearsal of training by the clock: rows as they fall, a generator that draws, an end in time."""

import json
import time

import numpy as np
import pytest

from benchmarks.accelerator import timed_training, train
from benchmarks.accelerator.tasks import Context
from gan.generator import TrainedGenerator
from gan.sampler import draw_images

pytestmark = pytest.mark.slow


@pytest.fixture
def context(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'out').mkdir()
    return Context(
        out=tmp_path / 'out',
        scratch=tmp_path / 'scratch',
        data='',
        data_dir='',
        rehearse=True,
        deadline=time.monotonic() + 600,
        rows=lambda **wanted: [],
    )


def test_a_rehearsal_leaves_a_generator_a_sheet_and_rows(context, monkeypatch):
    monkeypatch.setattr(timed_training, '_EVERY', 0.2)
    task = train.create_tasks(rehearse=True)[0]
    rows = []
    for row in task.run(context):
        assert json.loads(json.dumps(row)) == row
        rows.append(row)
        if row['table'] == 'stages':  # of each stage at once
            trained = TrainedGenerator.load(context.out / train.GENERATOR)
            assert f'{trained.network.resolution}x{trained.network.resolution}' == row['stage']
            assert (context.out / 'grids.png').exists()
    _check_progress([row for row in rows if row['table'] == 'progress'])
    rows = [row for row in rows if row['table'] != 'progress']
    programs = [row for row in rows if row['table'] == 'programs']
    assert rows[0] is programs[0]  # before anything else
    first = {(row['stage'], row['program']) for row in programs[:2]}
    assert first == {('4x4', 'Entering'), ('4x4', 'Call of 1')}
    assert rows[2]['table'] == 'first stage'
    told = [row['table'] for row in rows if row['table'] not in ('programs', 'first stage')]
    assert told == [*['schedule'] * 2, *['stages'] * 2, 'runs', *['scores'] * 3, 'time']
    assert [row['stage'] for row in rows if row['table'] == 'stages'] == ['4x4', '8x8']
    drawn = next(
        draw_images(
            TrainedGenerator.load(context.out / train.GENERATOR), np.zeros(2, np.int32), seed=0, batch_size=2
        )
    )
    assert drawn.images.shape == (2, 8, 8, 1)
    assert len(list(context.out.rglob('*.*'))) <= 6


def _check_progress(rows):
    """Now and then a row tells where training is."""
    assert rows[0]['stage'] == 'not begun: compiling'
    assert rows[-1]['images seen'] > 0
    assert rows[-1]['images/s'] > 0
    assert [row['seconds'] for row in rows] == sorted(row['seconds'] for row in rows)


def test_when_the_time_is_over_training_ends_and_leaves_a_generator(context, monkeypatch):
    monkeypatch.setattr(train, '_TOY_SECONDS', 0.0)
    monkeypatch.setattr(timed_training, '_WAIT', 0.0)
    rows = list(train.create_tasks(rehearse=True)[0].run(context))
    (run,) = (row for row in rows if row['table'] == 'runs')
    assert (run['ended by'], run['stage reached'], run['steps']) == ('time limit', '4x4', 1)
    assert TrainedGenerator.load(context.out / train.GENERATOR).network.resolution == 4
    # It did not wait for the speed of the first stage.
    assert not any(row['table'] == 'first stage' for row in rows)
    assert next(row['stage'] for row in rows if row['table'] == 'stages') == '4x4'
