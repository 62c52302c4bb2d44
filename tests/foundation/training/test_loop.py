"""The loop: stopping and going on bit for bit, damaged checkpoints, hopeless runs."""

import dataclasses
import functools
import json
import math
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training import logs, loop
from foundation.training.checkpoints import Checkpoints
from foundation.training.errors import UserError
from tests.foundation.training import toy


def train(
    workdir,
    phases=None,
    *,
    checkpoint=16,
    steps_per_call=1,
    log=8,
    watch=None,
    deadline=math.inf,
    phase_done=None,
    **options,
):
    mesh = toy.mesh()
    periods = loop.Periods(
        log=log, sample=48, checkpoint=checkpoint, steps_per_call=steps_per_call, max_skipped_in_a_row=3
    )
    checkpoints = Checkpoints(workdir / 'checkpoints', keep=3)
    try:
        return loop.run(
            phases or toy.create_phases(mesh, **options),
            workdir,
            checkpoints,
            mesh,
            periods,
            seed=3,
            sample=lambda state, phase, images: np.zeros((4, 4, 3), np.uint8),
            watch=watch,
            deadline=deadline,
            phase_done=phase_done,
        )
    finally:
        checkpoints.close()


def _assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture
def whole(tmp_path):
    """A run that was never stopped."""
    folder = tmp_path / 'whole'
    folder.mkdir()
    return train(folder)


def test_a_run_passes_through_all_phases(whole):
    assert whole.position.images_seen == 2 * 6 * 8
    assert whole.position.phase == 'wide'
    assert int(whole.state.updates) == 12
    assert whole.state.weights.shape == (5,)


@pytest.mark.parametrize('images', [8, 24, 48, 56, 72])
def test_a_stopped_run_goes_on_bit_for_bit(whole, tmp_path, images):
    """Within both phases and at their boundary; the signal is a real one."""
    workdir = tmp_path / 'stopped'
    workdir.mkdir()
    phases = toy.stop_after(toy.create_phases(toy.mesh()), images, _once(signal.SIGTERM))
    stopped = train(workdir, phases)
    assert stopped.stopped_by == 'SIGTERM'
    assert stopped.position.images_seen < whole.position.images_seen
    resumed = train(workdir)
    assert resumed.position == whole.position
    _assert_same(resumed.state, whole.state)


def _read_lines(workdir):
    """The log, without the clock."""
    lines = [json.loads(line) for line in (workdir / logs.METRICS_FILE).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != 'images_per_second'} for line in lines]


@pytest.mark.parametrize('images', [8, 16, 32, 56])
def test_a_line_of_the_log_holds_steps_of_before_the_stop(tmp_path, images):
    """A line for each three steps: their mean, bit for bit, though the run was stopped after one or two."""
    for name in ('never', 'once'):
        (tmp_path / name).mkdir()
    train(tmp_path / 'never', log=24)
    stopping = toy.stop_after(toy.create_phases(toy.mesh()), images, _once(signal.SIGTERM))
    stopped = train(tmp_path / 'once', stopping, log=24)
    assert stopped.position.images_seen % 24
    train(tmp_path / 'once', log=24)
    assert _read_lines(tmp_path / 'once') == _read_lines(tmp_path / 'never')


def _once(number):
    # A second signal would end the test's own process.
    sent = []

    def send():
        if not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    return send


def test_a_damaged_checkpoint_falls_back_to_the_one_before(whole, tmp_path):
    workdir = tmp_path / 'whole'
    steps = sorted((workdir / 'checkpoints').iterdir())
    for file in steps[-1].rglob('*'):
        if file.is_file() and 'position' not in str(file):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    resumed = train(workdir)
    _assert_same(resumed.state, whole.state)
    (aside,) = (workdir / 'unreadable_checkpoints').iterdir()
    assert aside.name.startswith('000000012-')
    assert (aside / 'position').is_dir()


@pytest.mark.parametrize('part', ['state', 'position'])
def test_a_half_deleted_checkpoint_falls_back_to_the_one_before(whole, tmp_path, part):
    workdir = tmp_path / 'whole'
    shutil.rmtree(sorted((workdir / 'checkpoints').iterdir())[-1] / part)
    resumed = train(workdir)
    _assert_same(resumed.state, whole.state)


def test_only_damaged_checkpoints_are_an_error(whole, tmp_path):
    workdir = tmp_path / 'whole'
    for step in (workdir / 'checkpoints').iterdir():
        shutil.rmtree(step / 'state')
    with pytest.raises(UserError, match=r'No checkpoint in .* can be read'):
        train(workdir)


def test_metrics_after_the_restored_step_are_dropped(whole, tmp_path):
    workdir = tmp_path / 'whole'
    path = workdir / 'metrics.jsonl'
    steps = [json.loads(line)['step'] for line in path.read_text().splitlines()]
    assert steps == list(range(1, 13))
    last = sorted((workdir / 'checkpoints').iterdir())[-1]
    shutil.rmtree(last)
    with path.open('a') as file:
        file.write('{"step": 12, "cut')
    train(workdir)
    assert [json.loads(line)['step'] for line in path.read_text().splitlines()] == steps


def test_lines_that_are_damaged_are_set_aside(whole, tmp_path, caplog):
    """Bytes that are no text, a step that is none, brackets without end: the run goes on, and all is kept."""
    workdir = tmp_path / 'whole'
    path = workdir / 'metrics.jsonl'
    lines = path.read_bytes().splitlines()
    damaged = [b'{"step": 3, "loss": "\xff"}', b'{"step": null}', b'[' * 100_000, b'{"step": true}', b'']
    path.write_bytes(b''.join(line + b'\n' for line in [*lines[:2], *damaged, *lines[2:]]) + b'{"step": 12, "cut')
    train(workdir)
    assert path.read_bytes().splitlines() == lines
    assert (workdir / logs.DAMAGED_FILE).read_bytes().splitlines() == damaged
    assert f'{path} had 5 damaged lines, which are in metrics_damaged.jsonl now.' in caplog.messages


def test_curves_of_damaged_metrics_are_no_reason_to_stop(tmp_path, caplog):
    (tmp_path / 'metrics.jsonl').write_bytes(b'\xff\n')
    logs.draw_curves(tmp_path, {'loss': ('loss',)}, {})
    assert caplog.messages[-1].startswith(f'No curves: {tmp_path / "metrics.jsonl"}, line 1 is damaged')


def test_a_run_that_learnt_nothing_does_not_end_well(tmp_path):
    """However few its updates were: the first of them that counts makes it a run like others."""

    def skipping(last):
        def step(phase, state, batch, key, controls):
            state, metrics = phase.cycle[0](state, batch, key, controls)
            return state, metrics | {'skipped_in_a_row': jnp.where(state.updates > last, 0, state.updates)}

        phases = toy.create_phases(toy.mesh(), steps=1)
        return [dataclasses.replace(phase, cycle=(functools.partial(step, phase),)) for phase in phases]

    (tmp_path / 'none').mkdir()
    with pytest.raises(UserError, match='Every one of the 2 updates had gradients that are not finite'):
        train(tmp_path / 'none', skipping(2))
    (tmp_path / 'one').mkdir()
    assert train(tmp_path / 'one', skipping(1)).position.step == 2


def test_too_many_skipped_updates_end_the_run(tmp_path):
    with pytest.raises(UserError, match='gradients that are not finite'):
        train(tmp_path, broken=True)


def test_calls_of_several_steps_give_the_same_result(whole, tmp_path):
    folder = tmp_path / 'calls'
    folder.mkdir()
    several = train(folder, steps_per_call=4)
    assert several.position == whole.position
    np.testing.assert_allclose(several.state.weights, whole.state.weights, rtol=1e-5)


def test_the_end_of_each_phase_is_told(tmp_path):
    ends = []
    train(tmp_path, phase_done=lambda end: ends.append(end) or end.later)
    assert [(end.phase.name, end.position.images_seen) for end in ends] == [('narrow', 48), ('wide', 96)]
    assert all(end.compiling > 0 for end in ends)


def test_a_time_limit_ends_a_phase_early_and_the_run_goes_on_later(whole, tmp_path):
    folder, ends = tmp_path / 'limited', []
    folder.mkdir()
    limited = train(folder, deadline=0.0, phase_done=lambda end: ends.append(end) or end.later)
    assert (limited.stopped_by, limited.position.images_seen) == ('time limit', 8)
    assert [(end.phase.name, end.position) for end in ends] == [('narrow', limited.position)]
    assert [line['images_seen'] for line in logs.read_metrics(folder)] == [8]
    _assert_same(train(folder).state, whole.state)


def test_a_time_limit_at_a_checkpoint_counts_no_step_twice(tmp_path):
    for name in ('never', 'limited'):
        (tmp_path / name).mkdir()
    train(tmp_path / 'never', log=24, checkpoint=8)
    assert train(tmp_path / 'limited', log=24, checkpoint=8, deadline=0.0).position.images_seen == 8
    train(tmp_path / 'limited', log=24, checkpoint=8)
    assert _read_lines(tmp_path / 'limited') == _read_lines(tmp_path / 'never')


def test_a_phase_that_ends_with_the_time_is_not_ended_twice(tmp_path):
    pictures = []
    mesh = toy.mesh()
    phase = toy.create_phases(mesh, steps=1)[0]
    limited = train(tmp_path, [phase], deadline=0.0, phase_done=lambda end: pictures.append(end) or ())
    assert (limited.position.images_seen, len(pictures)) == (8, 1)


def test_later_phases_may_be_made_shorter(tmp_path):
    def shorten(end):
        return [dataclasses.replace(phase, end=phase.start + 16) for phase in end.later]

    shortened = train(tmp_path, phase_done=shorten)
    assert (shortened.position.images_seen, shortened.position.phase) == (48 + 16, 'wide')
    assert int(shortened.state.updates) == 8
