"""A folder appears complete or not at all.

It is made as `incomplete.*/new` beside its place. Its process keeps `incomplete.*/lock` locked as long as it
lives; the system drops the lock with the process, on whatever machine or in whatever container that ran. What
nobody keeps locked is a leftover, which the next start clears away. Only what has `incomplete.*/journal` waits
for its own command, which goes on from it.
"""

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from input_pipeline.errors import DataError
from input_pipeline.journal import AnswerJournal, read_owner

INCOMPLETE = 'incomplete.'  # TFDS and our readers look past folders whose names begin so
_LOCK, _NEW, _OLD, _JOURNAL = 'lock', 'new', 'old', 'journal'
_LOGGER = logging.getLogger(__name__)
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextlib.contextmanager
def complete_folder(final: Path, overwrite: bool) -> Iterator[Path]:
    """Yields an empty folder that becomes `final` when the block ends well, and is removed otherwise.

    At every moment `final` is as it was, or new and whole. Only where the file system cannot exchange two folders
    in one step, a process killed in between leaves neither there; the next start then puts the new one there.

    Raises:
      DataError: when `final` holds something and `overwrite` is False, also what another process made meanwhile.
    """
    clear_leftovers(final.parent)
    if not overwrite and is_taken(final):
        raise DataError(f'{final} exists already; --overwrite replaces it.')
    with _parents_of(final), _create_scratch(final.parent) as (scratch, _):
        partial = scratch / _NEW
        try:
            partial.mkdir()
            yield partial
            _put_in_place(partial, final, overwrite)
        finally:
            _settle(scratch)


@contextlib.contextmanager
def resumable(final: Path, command: Mapping[str, Any], *, is_file: bool = False) -> Iterator[AnswerJournal]:
    """Yields a journal whose folder becomes `final` when the block ends well; otherwise its whole parts are left.

    They are handed to the next call of the same command for the same place, and to no other: one of another
    command removes them.

    Args:
      final: new place.
      command: all that decides the content, as JSON has it.
      is_file: whether `final` is a file; it is made in the folder, under its name.

    Raises:
      DataError: when `final` holds something, also what another process made meanwhile.
    """
    if is_taken(final):
        raise DataError(f'{final} exists already; name a new place.')
    owner = {'final': final.name, 'command': dict(command)}
    with _parents_of(final), _find_scratch(final, owner) as (scratch, is_old):
        folder, path, is_done = scratch / _NEW, scratch / _JOURNAL, False
        try:
            folder.mkdir(exist_ok=is_old)
            journal = AnswerJournal(path, folder, owner)
            if len(journal):
                _LOGGER.info('Going on with %d answers of the same command, which was stopped.', len(journal))
            yield journal
            _put_in_place(folder / final.name if is_file else folder, final, overwrite=False)
            is_done = True
        finally:
            if is_done or read_owner(path) is None:
                _settle(scratch)


def finish(final: Path, command: Mapping[str, Any], last: str, answer: Mapping[str, Any]) -> bool:
    """Puts in its place what a command had whole when it was killed; False where nothing of the kind waits.

    Args:
      final, command: as for `resumable`.
      last, answer: the part that the command kept when all was whole.

    Raises:
      DataError: when something is in its place.
    """
    owner = {'final': final.name, 'command': dict(command)}
    for scratch, lock in _lock_leftovers(final.parent):
        with lock:
            folder, path = scratch / _NEW, scratch / _JOURNAL
            if read_owner(path) == owner and AnswerJournal(path, folder, owner).find(last) == answer:
                _put_in_place(folder, final, overwrite=False)
                _settle(scratch)
                return True
    return False


def clear_leftovers(parent: Path) -> None:
    """Removes what killed processes left in a folder, after a whole folder among it went to its empty place.

    What another command can go on from stays, until something is in its place.
    """
    for scratch, lock in _lock_leftovers(parent):
        with lock:
            owner = read_owner(scratch / _JOURNAL)
            if not isinstance(owner, dict) or is_taken(parent / str(owner.get('final'))):
                _settle(scratch)


def identity(folder: Path) -> int | None:
    """What no two folders share that are there at once; None where there is none."""
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def describe_outcome(folder: Path, before: int | None) -> str:
    """What an interrupted command left in a place whose `identity` was `before`, for the end of a sentence."""
    now = identity(folder)
    if now is None:
        return 'nothing was kept'
    return f'{folder} is as it was' if now == before else f'{folder} is new, and whole'


def is_taken(final: Path) -> bool:
    """Whether something is in a place; an empty folder is nothing."""
    return final.exists() and not (final.is_dir() and not any(final.iterdir()))


@contextlib.contextmanager
def _parents_of(final: Path) -> Iterator[None]:
    """Makes the folders above; of these, what is empty after an error is removed."""
    made = [parent for parent in (final.parent, *final.parent.parents) if not parent.exists()]
    try:
        with _writing_to(final.parent):
            final.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


@contextlib.contextmanager
def _writing_to(parent: Path) -> Iterator[None]:
    """Raises DataError where the block cannot write to a folder."""
    try:
        yield
    except OSError as error:
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        reason = 'a file is in the way' if is_file else error.strerror or error
        raise DataError(f'{parent} cannot be written to ({reason}); name another place.') from error


def _lock_leftovers(parent: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Leftovers of this user, each with its lock, which is held until the file is closed."""
    for scratch in sorted(parent.glob(f'{INCOMPLETE}*')):
        try:
            lock = open(scratch / _LOCK, 'r+b')  # noqa: SIM115
        except FileNotFoundError:  # killed before it had one, or an older version's
            with contextlib.suppress(OSError):
                scratch.rmdir()
            continue
        except OSError:  # of somebody else
            continue
        if os.fstat(lock.fileno()).st_uid == os.geteuid() and _try_lock(lock.fileno()):
            yield scratch, lock
        else:
            lock.close()


@contextlib.contextmanager
def _find_scratch(final: Path, owner: Mapping[str, Any]) -> Iterator[tuple[Path, bool]]:
    """A leftover of this owner, and True; else a new folder, after those of others for the same place are gone."""
    for scratch, lock in _lock_leftovers(final.parent):
        with lock:
            former = read_owner(scratch / _JOURNAL)
            if former == owner:
                yield scratch, True
                return
            if isinstance(former, dict) and former.get('final') == final.name:
                _settle(scratch)
    clear_leftovers(final.parent)
    with _create_scratch(final.parent) as found:
        yield found


@contextlib.contextmanager
def _create_scratch(parent: Path) -> Iterator[tuple[Path, bool]]:
    """A new folder, locked within the block, and False."""
    scratch, lock = None, None
    while lock is None:  # until it is locked it looks like a leftover, and may be cleared away as one
        with _writing_to(parent):
            scratch = Path(tempfile.mkdtemp(prefix=INCOMPLETE, dir=parent))
        with contextlib.suppress(FileNotFoundError):
            lock = _open_locked(scratch / _LOCK)
    assert scratch is not None
    with lock:
        yield scratch, False


def _open_locked(path: Path) -> BinaryIO:
    """Raises FileNotFoundError where another process removed it before it was locked."""
    lock = path.open('xb')
    try:
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        path.stat()
    except BaseException:
        lock.close()
        raise
    return lock


def _try_lock(file: int) -> bool:
    """Whether no other process held the lock; False, too, where the file system has no locks: nobody knows."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _put_in_place(partial: Path, final: Path, overwrite: bool) -> None:
    if overwrite and final.exists():
        if not _exchange(partial, final):
            old = partial.with_name(_OLD)
            old.mkdir()
            final.rename(old / final.name)
            partial.rename(final)
        return
    try:
        partial.rename(final)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise DataError(f'{final} was made by another process meanwhile.') from error
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step; False where the system or the file system cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):
        return False
    return rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _settle(scratch: Path) -> None:
    """Removes a scratch folder, after it filled a place that was emptied for what is new."""
    new, old = scratch / _NEW, scratch / _OLD
    for moved in old.glob('*'):
        final = scratch.parent / moved.name
        if not final.exists():
            (new if new.exists() else moved).rename(final)
    for folder in (new, old):  # the lock goes last: without it nobody could tell that this is a leftover
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)
