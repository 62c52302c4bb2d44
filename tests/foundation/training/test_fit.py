"""Fitting to labels: what the folder keeps, what the log tells, and when the last look is taken."""

import json
import logging

import jax
import optax
import pytest

from foundation.training import fit as fitting
from foundation.training import parallel
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.fit import Pace, Validation, create_phase, fit, keep_state
from foundation.training.loop import Outcome, Periods
from foundation.training.supervised import create_state
from foundation.training.workdir import RunRecord

PACE = Pace(7, Periods(log=1, sample=1, checkpoint=1, steps_per_call=1, max_skipped_in_a_row=1), 3)


def _phase():
    return create_phase(
        'toy',
        steps=5,
        batch_size=4,
        step=lambda state, batch, key, controls: (state, {}),
        create_state=lambda key: create_state({'params': {'weight': jax.random.normal(key)}}, optax.sgd(0.1)),
        adopt=keep_state,
        open_feed=lambda position, sizes: iter(()),
        batch={},
    )


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Returns `run(record, stopped_by)`: what was called, with the loop left out."""

    def start(record, stopped_by=''):
        told = []

        def train(phase, workdir, mesh, periods, **options):
            told.append((workdir, periods, options['seed'], options['checkpoints_to_keep'], options['every']))
            return Outcome(None, Position(5, 20, 'toy'), None, stopped_by, {})

        monkeypatch.setattr(fitting.loop, 'train_phase', train)
        fit(
            _phase(),
            tmp_path / 'run',
            parallel.create_mesh(),
            PACE,
            record=record,
            files={'toy.json': {'kind': 'toy'}},
            told=['Data: none.'],
            details=['Network: none.'],
            validation=Validation(lambda variables: {'loss': 0.0}, 'loss', 12, {'loss': ('loss',)}),
            sample=None,
            finish=lambda: told.append('finished'),
        )
        return told

    return start


def test_all_of_training_is_one_phase():
    phase = _phase()
    assert (phase.start, phase.end, phase.steps) == (0, 20, 5)
    entered = phase.enter(None, jax.random.key(0))
    assert phase.adopt(None, entered) is entered
    assert entered.network.params['weight'] == jax.random.normal(jax.random.key(0))
    assert phase.controls(8) == {'images_seen': 8}


def test_the_folder_keeps_all_and_the_log_names_what_is_not_the_default(run, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        told = run(RunRecord({'seed': 7, 'width': 3}, ('width',), {'width': 3}))
    assert told == [(tmp_path / 'run', PACE.periods, 7, 3, 12), 'finished']
    kept = {path.name: json.loads(path.read_text()) for path in (tmp_path / 'run').glob('*.json')}
    assert kept == {'config.json': {'seed': 7, 'width': 3}, 'toy.json': {'kind': 'toy'}}
    (fields,) = [line for line in caplog.messages if line.startswith('Fields')]
    assert fields == f'Fields other than the defaults ({tmp_path / "run" / "config.json"} has all):\nwidth = 3'
    shown = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert 'Data: none.' in shown
    assert not {'Network: none.', fields} & set(shown)
    assert 'Network: none.' in caplog.messages  # for log.txt alone


def test_a_stopped_run_takes_no_last_look(run, capsys):
    assert 'finished' not in run(RunRecord({}, (), {}), 'SIGTERM')
    assert 'Stopped by SIGTERM; all is saved in' in capsys.readouterr().out


def test_what_is_changed_when_a_run_goes_on_is_told_and_kept(run, tmp_path, caplog):
    fields = {'width': 3, 'rate': {'first': 0.1, 'last': 0.0}, 'seed': 7}
    run(RunRecord(fields, ('width',), {}))
    with caplog.at_level(logging.INFO):
        run(RunRecord(fields | {'rate': {'first': 0.2, 'last': 0.0}, 'new': 1}, ('width',), {}))
    assert 'Changed since the run was last started: rate.first, from 0.1 to 0.2.' in caplog.messages
    run(RunRecord(fields | {'rate': {'first': 0.2, 'last': 0.0}, 'new': 1}, ('width',), {}))
    (line,) = (tmp_path / 'run' / 'config_history.jsonl').read_text().splitlines()
    assert json.loads(line)['changed'] == {'rate.first': [0.1, 0.2]}


def test_another_run_in_the_folder_is_refused_before_anything_is_written(run, tmp_path):
    run(RunRecord({'width': 3}, ('width',), {}))
    with pytest.raises(UserError, match='holds a run with width=3, not 4'):
        run(RunRecord({'width': 4}, ('width',), {}))
    assert json.loads((tmp_path / 'run' / 'config.json').read_text()) == {'width': 3}
