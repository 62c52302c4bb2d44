"""The ladder of programs tells both halves of each rung, and a compiler on accelerators is ahead of all phases."""

import time
from pathlib import Path

import pytest

from benchmarks.accelerator import compiling, timetable
from benchmarks.accelerator.tasks import Context
from foundation.training import compute
from foundation.training.phases import Compiler, abstract_states
from tests.foundation.training import toy


@pytest.fixture
def context():
    end = time.monotonic() + 600
    return Context(Path(), Path(), '', '', rehearse=True, deadline=end, rows=lambda **wanted: [])


def _run(context, *names: str) -> list[dict]:
    return [
        row for task in compiling.create_tasks(rehearse=True) if task.name in names for row in task.run(context)
    ]


def test_a_rung_tells_when_it_is_ready_and_when_it_has_run(context):
    ready, called = _run(context, 'convolution, 3x3')
    assert set(ready) == {'table', 'program', 'trace s', 'compile s', 'kernels'}
    assert set(called) == {'table', 'program', 'first call s', 'later call ms', 'ms a step'}
    assert ready['program'] == called['program'] == 'convolution, 3x3'


@pytest.mark.slow
def test_the_schedule_of_training_finds_the_speed_of_the_step_of_full_width(context):
    rows = _run(context, '64x64, 1 step a call')
    assert set(timetable.find_speeds(rows, 'enhanced_gan')) == {8}


@pytest.mark.parametrize(('on_cpu', 'reached'), [(True, 1), (False, 2)])
def test_accelerators_compile_for_all_phases_at_once(monkeypatch, on_cpu, reached):
    monkeypatch.setattr(compute, 'on_cpu', lambda: on_cpu)
    phases, mesh = toy.create_phases(toy.mesh()), toy.mesh()
    compiler = Compiler(phases, abstract_states(phases, mesh), mesh, steps_per_call=3)
    compiler.ahead(0)
    compiler.close(wait=True)
    assert len({key[1] if key[0] == 'enter' else key[0] for key in compiler._programs}) == reached
