"""`python -m segment.study --config=configs/segment/study_X.py --workdir=DIR` tells whether generated images help.

Derives data sets, trains generators and segmenters, measures, and compares. Stopped or killed, the same command
goes on; started several times, on one machine or on several that share the folder, the processes share the jobs.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

import input_pipeline
from configs.schema import describe, run_record
from configs.segment.study_schema import STUDY
from foundation.training import launch
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from segment.studies.analysis import analyse
from segment.studies.audits import read_audits
from segment.studies.design import create_design
from segment.studies.jobs import Journal, do_jobs
from segment.studies.plan import Job, Plan
from segment.studies.presentation import present
from segment.studies.results import read_results


def run_study(config: ConfigDict, workdir: Path) -> None:
    """Does what is left of the study, and says what came out.

    Raises:
      UserError: when the config cannot be used, or a job failed.
    """
    design = create_design(config)
    data_dir = input_pipeline.find_data_dir(design.data_dir)
    for name in filter(None, (design.data, design.generators.own)):  # before anything is written
        input_pipeline.count_images(name, data_dir, 'train')
    plan = Plan(design, workdir.absolute(), data_dir.absolute())
    record = run_record(STUDY, config)
    workdirs.prepare_workdir(workdir, record.config, fixed=record.fixed, write=True)
    journal = Journal(workdir / 'jobs')
    _do_all(plan.real_jobs, journal)
    real_images = _count_images(plan, data_dir)
    design.check_generated(real_images)
    _do_all(plan.jobs, journal)
    results = read_results(plan.cells, [plan.cell_folder(cell) for cell in plan.cells], design.policy)
    analysis = analyse(design, results, real_images)
    present(design, workdir, results, analysis, read_audits(plan.generators))


def _do_all(jobs: Sequence[Job], journal: Journal) -> None:
    failed = do_jobs(jobs, journal)
    if failed:
        name, reason = next(iter(failed.items()))
        raise UserError(
            f'{len(failed)} of {len(jobs)} jobs were not done; the same command tries them again. The first, '
            f'{name}: {reason}'
        )


def _count_images(plan: Plan, data_dir: Path) -> dict[float, int]:
    """Training images at each fraction of the real patients."""
    return {fraction: input_pipeline.count_images(name, data_dir, 'train') for fraction, name in plan.real.items()}


if __name__ == '__main__':
    # The commands of the jobs find this project where this process found it.
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get('PYTHONPATH')]))
    launch.run(
        run_study,
        fields=describe(STUDY),
        packages=('segment', 'input_pipeline'),
        user_errors=(input_pipeline.DataError,),
        shared=True,
    )
