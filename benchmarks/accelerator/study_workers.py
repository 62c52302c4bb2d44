"""Processes that share the jobs of a study: `python -m benchmarks.accelerator.study_workers WORKDIR` is one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from foundation.training import workdir as workdirs
from segment.studies.design import create_design
from segment.studies.jobs import Journal, do_jobs
from segment.studies.plan import Plan

_GRACE = 8.0  # seconds in which a process that was asked to may end by itself


class Workers:
    """Several of them, which are ended at the end of the block.

    Attributes:
      in_time: whether they were still at work when the block ended.

    Args:
      workdir: of the study.
      count: processes.
      scratch: where they keep compiled programs and say what failed.
    """

    def __init__(self, workdir: Path, count: int, scratch: Path) -> None:
        self.in_time = False
        self._workdir, self._count, self._scratch = workdir, count, scratch
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> 'Workers':
        environment = {
            **os.environ,
            'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',  # the device is shared
            'XDG_CACHE_HOME': str(self._scratch / 'cache'),
            'PYTHONPATH': os.pathsep.join(filter(None, [os.getcwd(), os.environ.get('PYTHONPATH')])),
        }
        for number in range(self._count):
            with self._log(number).open('w') as log:
                self._processes.append(
                    subprocess.Popen(
                        [sys.executable, '-m', 'benchmarks.accelerator.study_workers', str(self._workdir)],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )
        return self

    def __exit__(self, *_: object) -> None:
        self.in_time = self.running()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def running(self) -> bool:
        """Whether any is still at work."""
        return any(process.poll() is None for process in self._processes)

    def last_words(self) -> str:
        """What the first that failed said at its end."""
        for number, process in enumerate(self._processes):
            if process.returncode:
                lines = self._log(number).read_text(errors='replace').strip().splitlines() or ['nothing']
                return f'a process ended with status {process.returncode}: {lines[-1][:300]}'
        return 'no process failed'

    def _log(self, number: int) -> Path:
        return self._scratch / f'worker_{number}.log'


def main() -> None:
    """Does the jobs that are left, but for measuring the generators again."""
    workdir = Path(sys.argv[1])
    signal.signal(signal.SIGTERM, _interrupt)
    design = create_design(workdirs.read_config(workdir))
    plan = Plan(design, workdir, Path(design.data_dir))
    jobs = [job for job in plan.jobs if not job.name.startswith('audit-')]
    try:
        failed = do_jobs(jobs, Journal(workdir / 'jobs'))
    except KeyboardInterrupt:
        sys.exit(1)
    for name, reason in reversed(failed.items()):  # the first one, which others needed, as the last word
        print(f'{name}: {reason}')
    sys.exit(bool(failed))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == '__main__':
    main()
