"""Watching a score: the best is kept, a collapse is met as configured, also after a restart."""

import json
import math

import jax
import numpy as np
import pytest

from foundation.training import parallel
from foundation.training.best import FOLDER, Watch
from foundation.training.checkpoints import Checkpoints
from tests.foundation.training import toy
from tests.foundation.training.test_loop import train

START = 48  # images at which the last phase begins; every step has 8
SCORES = {56: 3.0, 64: 1.0, 72: 2.0, 80: 9.0, 88: 1.5, 96: 2.5}


class Recorder:
    """Scores by images seen, and the states they were asked of."""

    def __init__(self, scores):
        self.scores, self.states = scores, {}

    def measure(self, state, phase, images_seen):
        self.states[images_seen] = jax.device_get(state)
        return {'distance': self.scores.get(images_seen, 0.1), 'other': 7.0}


def _watch(recorder, on_collapse='go_on', ratio=4.0):
    return Watch(8, recorder.measure, 'distance', on_collapse, ratio)


def _restore_best(workdir):
    phases, mesh = toy.create_phases(toy.mesh()), toy.mesh()
    state = jax.eval_shape(phases[1].enter, phases[0].enter(None, jax.random.key(0)), jax.random.key(0))
    checkpoints = Checkpoints(workdir / FOLDER, keep=None)
    try:
        return checkpoints.restore(lambda position: parallel.abstract(state, parallel.replicated(mesh)))
    finally:
        checkpoints.close()


def _lines(workdir):
    return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def test_the_best_of_the_last_phase_is_kept_apart_from_the_last(tmp_path):
    recorder = Recorder(SCORES)
    outcome = train(tmp_path, watch=_watch(recorder))
    assert (outcome.best.images_seen, outcome.best.score) == (64, 1.0)
    assert outcome.position.images_seen == 96
    state, position = _restore_best(tmp_path)
    assert position == outcome.best
    np.testing.assert_array_equal(state.weights, recorder.states[64].weights)
    assert sorted(recorder.states) == [*range(8, 97, 8)]  # earlier phases are measured too
    assert [line['images_seen'] for line in _lines(tmp_path) if line.get('collapsed')] == [80]
    assert {line['distance'] for line in _lines(tmp_path) if 'other' in line} == {0.1, *SCORES.values()}


def test_a_collapse_stops_training_and_says_so(tmp_path, caplog):
    outcome = train(tmp_path, watch=_watch(Recorder(SCORES), 'stop'))
    assert (outcome.stopped_by, outcome.position.images_seen) == ('collapse', 80)
    assert 'Collapse at 80 images: distance is 9, the best was 1 at 64 images. Training stops here.' in caplog.text


@pytest.mark.parametrize('score', [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_a_collapse(tmp_path, score):
    outcome = train(tmp_path, watch=_watch(Recorder(SCORES | {72: score}), 'stop'))
    assert outcome.position.images_seen == 72
    text = (tmp_path / 'metrics.jsonl').read_text()
    assert 'NaN' not in text
    assert 'Infinity' not in text


def test_rolling_back_goes_on_from_the_best_with_new_draws(tmp_path):
    recorder, plain = Recorder(SCORES), Recorder(SCORES)
    outcome = train(tmp_path / 'back', watch=_watch(recorder, 'roll_back'))
    train(tmp_path / 'plain', watch=_watch(plain))
    assert outcome.position.images_seen == 96
    np.testing.assert_array_equal(recorder.states[80].weights, plain.states[80].weights)
    # One update after the best, which had made 8 (6 of the first phase, 2 of this one).
    assert int(recorder.states[88].updates) == int(recorder.states[64].updates) + 1
    assert int(plain.states[88].updates) == int(plain.states[64].updates) + 3
    assert np.abs(recorder.states[88].weights - plain.states[72].weights).max() > 1e-6


def test_a_restarted_run_judges_as_the_whole_one(tmp_path):
    whole = train(tmp_path / 'whole', watch=_watch(Recorder(SCORES), 'roll_back'))

    class Killed(Exception):
        pass

    def kill(state, phase, images_seen):
        if images_seen == 72:
            raise Killed
        return Recorder(SCORES).measure(state, phase, images_seen)

    options = {'checkpoint': 40}  # one at 40, none between the best at 64 and the end of the process at 72
    with pytest.raises(Killed):
        train(tmp_path / 'killed', watch=Watch(8, kill, 'distance', 'roll_back', 4.0), **options)
    outcome = train(tmp_path / 'killed', watch=_watch(Recorder(SCORES), 'roll_back'), **options)
    assert outcome.best == whole.best
    np.testing.assert_array_equal(outcome.state.weights, whole.state.weights)
