"""One run, one writer: a workdir is locked by the process that trains in it, for as long as that lives."""

import contextlib
import datetime as dt
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from foundation.training import parallel
from foundation.training.errors import UserError

LOCK_FILE = 'writer.lock'
_LOGGER = logging.getLogger(__name__)


@contextlib.contextmanager
def one_writer(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in a workdir within the block; all processes of a run call it together.

    The system drops the lock with the process, so that none is left by one that was killed. A folder that was made
    for the lock alone is removed.

    Raises:
      UserError: naming the process that trains there.
    """
    first = parallel.is_first_process()
    refusal, lock, made = '', None, not workdir.exists()
    if first:
        try:
            lock = _lock(workdir)
        except UserError as error:
            refusal = str(error)
    if parallel.any_process(bool(refusal)):  # else the others would wait for the first for ever
        raise UserError(refusal or f'{workdir} is not free, as the first process tells.')
    try:
        yield
    finally:
        if lock is not None:
            with contextlib.suppress(OSError):  # while it is locked, so that nobody else's is removed
                (workdir / LOCK_FILE).unlink()
                if made:
                    workdir.rmdir()
            lock.close()


def _lock(workdir: Path) -> BinaryIO:
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / LOCK_FILE
    while True:
        lock = path.open('a+b')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                lock.close()
                raise UserError(_describe_other(path)) from error
            _LOGGER.warning(
                '%s is on a file system without locks (%s); make sure yourself that nobody else trains there.',
                workdir,
                error.strerror,
            )
        if _is_there(path, lock):
            break
        lock.close()  # of a writer that ended just now
    lock.truncate(0)
    started = dt.datetime.now(dt.UTC).isoformat(timespec='seconds')
    lock.write(json.dumps({'process': os.getpid(), 'host': socket.gethostname(), 'started': started}).encode())
    lock.flush()
    return lock


def _is_there(path: Path, lock: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _describe_other(path: Path) -> str:
    other = 'another process'
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # it may not have written yet
        facts = json.loads(path.read_bytes())
        other = f'process {facts["process"]} of {facts["host"]}, started {facts["started"]}'
    return f'{path.parent} is in use: {other}, trains there; wait for its end, stop it, or use another --workdir.'
