"""The study: its data lie in a folder of its own, its jobs are those of `segment.study`, and time ends it."""

import subprocess
import sys
import time

import pytest

from benchmarks.accelerator import study, study_workers
from benchmarks.accelerator.study_workers import Workers
from benchmarks.accelerator.tasks import Context


@pytest.fixture
def context(tmp_path):
    return Context(
        out=tmp_path / 'out',
        scratch=tmp_path / 'scratch',
        data='',
        data_dir='',
        rehearse=True,
        deadline=time.monotonic() + 600,
        rows=lambda **wanted: [{'seconds': 70.0}],
    )


@pytest.mark.slow
def test_the_study_can_be_done_as_it_is_configured(context):
    made = study._Study(context)
    assert {cell.arm for cell in made.plan.cells} == {'real_augmented', 'pggan', 'enhanced'}
    for arm in ('pggan', 'enhanced'):
        assert made.generator_job(arm).command[0] == 'gan.main'
    assert not any(made.is_done(cell) for cell in made.plan.cells)
    again = study._Study(context)
    assert again.plan.jobs == made.plan.jobs


def test_without_generators_no_unet_is_trained(context):
    unets = study.create_tasks(rehearse=True)[-1]
    with pytest.raises(study.UserError, match='No generator was trained for enhanced, pggan'):
        list(unets.run(context))


def test_processes_are_ended_with_the_block(tmp_path, monkeypatch):
    real = subprocess.Popen

    def sleep(_, **options):
        return real([sys.executable, '-c', 'import time; time.sleep(60)'], **options)

    monkeypatch.setattr(study_workers.subprocess, 'Popen', sleep)
    with Workers(tmp_path, 2, tmp_path) as workers:
        assert workers.running()
    assert workers.in_time
    assert not workers.running()
