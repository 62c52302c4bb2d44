"""Doing a study's jobs, one by one, beside other processes that do jobs of the same study.

A job is claimed by creating a file, which one process alone can do; while it runs, the file's time is renewed, so
that others take over the jobs of a process that died. Its command may live on: it keeps the log locked until it
ends, and on this machine nobody begins the job again before. A finished job leaves its command and its seconds.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from segment.studies.plan import Job

_RENEWAL_SECONDS = 20.0
_ABANDONED_SECONDS = 180.0
_WAIT_SECONDS = 5.0
_TAIL_LINES = 3


class Journal:
    """Which jobs are done, and who does which, in one folder that all processes share."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def is_done(self, job: Job) -> bool:
        """Whether the job ended well before, under whatever place of Python.

        Raises:
          UserError: when another command was done under this name, because the config was changed, or the note
            of the job is damaged.
        """
        path = self._path(job, 'json')
        if not path.exists():
            return False
        command = workdirs.read_json(self.folder, path.name).get('command')
        if not isinstance(command, list):
            raise UserError(f'{path} is damaged (it holds no command); delete it, and the job is done anew.')
        if command != list(job.command):
            changed = sorted({*command} ^ {*job.command})
            raise UserError(
                f'{path} was made with other flags ({", ".join(changed[:4])}); use another --workdir for a study '
                'with another config.'
            )
        return True

    def finish(self, job: Job, seconds: float) -> None:
        """Notes that a job ended well."""
        workdirs.write_json(self._path(job, 'json'), {'command': list(job.command), 'seconds': round(seconds, 1)})

    def log_path(self, job: Job) -> Path:
        """Where a job's output goes."""
        return self._path(job, 'log')

    @contextlib.contextmanager
    def claim(self, job: Job) -> Iterator[bool]:
        """Whether this process may do the job; it is given back at the end of the block."""
        path = self._path(job, 'claim')
        self._remove_abandoned(path)
        try:
            with path.open('x', encoding='utf-8') as file:
                json.dump({'host': socket.gethostname(), 'process': os.getpid()}, file)
        except FileExistsError:
            yield False
            return
        stop = threading.Event()
        renewal = threading.Thread(target=_renew, args=(path, stop), daemon=True)
        renewal.start()
        try:
            yield not self._path(job, 'json').exists()
        finally:
            stop.set()
            renewal.join()
            path.unlink(missing_ok=True)

    def _remove_abandoned(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            if _is_of_dead_process(path) or time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                # Renamed first: of two processes that find it, one alone removes it.
                mine = path.with_suffix(f'.abandoned-{os.getpid()}')
                path.rename(mine)
                mine.unlink()

    def _path(self, job: Job, ending: str) -> Path:
        return self.folder / f'{job.name}.{ending}'


def _renew(path: Path, stop: threading.Event) -> None:
    while not stop.wait(_RENEWAL_SECONDS):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)


def _is_of_dead_process(path: Path) -> bool:
    """Whether the process that made this claim ran here and ended; False where the file does not tell."""
    try:
        claim = json.loads(path.read_text(encoding='utf-8'))
        return claim['host'] == socket.gethostname() and not _is_running(int(claim['process']))
    except (ValueError, KeyError, TypeError):  # its process died before it wrote it, or the disk was full
        return False


def _is_running(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def do_jobs(jobs: Sequence[Job], journal: Journal) -> dict[str, str]:
    """Does all jobs that can be done; waits for those that other processes do.

    A job that fails takes those that need it with it; all others are still done. Killed, the same call goes on:
    training commands resume from their checkpoints.

    Args:
      jobs: in an order in which each comes after those that it needs.
      journal: of the study.

    Returns:
      For each job that failed, the last lines of its output; for those that need it, which one failed.
    """
    failed: dict[str, str] = {}
    done = {job.name for job in jobs if journal.is_done(job)}
    with tqdm(total=len(jobs), initial=len(done), unit=' jobs', smoothing=0.1) as bar:
        while open_jobs := [job for job in jobs if job.name not in done and job.name not in failed]:
            moved = False
            for job in open_jobs:
                broken = next((name for name in job.needs if name in failed), None)
                if broken:
                    failed[job.name] = f'needs {broken}'
                    moved = True
                elif done.issuperset(job.needs):
                    outcome = _do(job, journal, bar)
                    if outcome is None:  # another process does it
                        continue
                    moved = True
                    if outcome:
                        failed[job.name] = outcome
                    else:
                        done.add(job.name)
                        bar.update()
                    break
            if not moved:
                time.sleep(_WAIT_SECONDS)
    return failed


def _do(job: Job, journal: Journal, bar: tqdm) -> str | None:
    """Does one job; returns '' when it is done, None when another process does it, else why it failed."""
    if journal.is_done(job):
        return ''
    with journal.claim(job) as mine:
        if not mine:
            return None
        bar.set_description(job.name)
        log = journal.log_path(job)
        if job.makes is not None and job.makes.exists() and not log.exists():
            return f'{job.makes} is not of this study; delete it, or give the study another config.name.'
        with log.open('ab') as output:
            if not _lock(output):
                return None
            if job.makes is not None:
                shutil.rmtree(job.makes, ignore_errors=True)
            begin = time.monotonic()
            fault = _run(job, output)
            if not fault:
                journal.finish(job, time.monotonic() - begin)
                return ''
        return f'{fault}: {_tail(log)}'


def _lock(log: BinaryIO) -> bool:
    """Whether no command writes to this log any more; locks it for this process and the commands it starts."""
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _run(job: Job, output: BinaryIO) -> str:
    """Runs the command; returns '' when it ended well, else how it ended.

    A signal to this process ends the command first, which saves what it has. The command is in a process group of
    its own: the Ctrl-C of a terminal would reach it as well, and a second signal stops it before all is saved.
    """
    process = subprocess.Popen(
        job.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
    )
    try:
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if code < 0:
        return f'killed by {signal.Signals(-code).name} (was there enough memory?)'
    return f'it ended with exit code {code}' if code else ''


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding='utf-8', errors='replace').splitlines()]
    return ' / '.join([line for line in lines if line][-_TAIL_LINES:])[-500:] + f' (all of it: {log})'
