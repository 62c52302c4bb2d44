"""`python -m segment.study --config=configs/segment/study_X.py --workdir=DIR` tells whether generated images help.

Derives data sets, trains generators and segmenters, measures, and compares. Stopped or killed, the same command
goes on; started several times, on one machine or on several that share the folder, the processes share the jobs.
"""

import os
import signal
from pathlib import Path
from types import FrameType

from ml_collections import ConfigDict

import input_pipeline
from segment.studies.jobs import Journal, do_jobs
from segment.studies.plan import Plan
from training import launch
from training import workdir as workdirs
from training.errors import UserError


def run_study(config: ConfigDict, workdir: Path) -> None:
    """Does what is left of the study, and says what came out.

    Raises:
      UserError: when the config cannot be used, or a job failed.
    """
    data_dir = Path(config.data_dir).expanduser() if config.data_dir else input_pipeline.default_data_dir()
    plan = Plan(config, workdir.absolute(), data_dir.absolute())
    workdirs.prepare_workdir(workdir, config, fixed=tuple(config.keys()), write=True)
    signal.signal(signal.SIGTERM, _interrupt)
    failed = do_jobs(plan.jobs, Journal(workdir / 'jobs'))
    if failed:
        name, reason = next(iter(failed.items()))
        raise UserError(f'{len(failed)} of {len(plan.jobs)} jobs were not done; the first, {name}: {reason}')


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == '__main__':
    # The commands of the jobs find this project where this process found it.
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get('PYTHONPATH')]))
    launch.run(run_study, packages=('segment', 'input_pipeline'), user_errors=(input_pipeline.DataError,))
