"""A folder appears complete or not at all."""

import contextlib
import errno
import glob
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.errors import DataError

_PREFIX = 'incomplete.'  # TFDS looks past folders of this name


def _process_name(pid: int) -> str:
    return f'{_PREFIX}{socket.gethostname()}-{pid}-'


def _remove_abandoned(parent: Path) -> None:
    """Removes what killed processes of this machine left behind."""
    mine = _process_name(0).removesuffix('0-')
    for folder in parent.glob(f'{glob.escape(mine)}*'):
        pid = folder.name.removeprefix(mine).split('-')[0]
        if pid.isdigit() and not is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def is_running(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def complete_folder(final: Path, overwrite: bool) -> Iterator[Path]:
    """Yields an empty folder that becomes `final` when the block ends well, and is removed otherwise.

    Raises:
      DataError: when `final` exists and `overwrite` is False, also where another process made it meanwhile.
    """
    if final.exists() and not overwrite:
        raise DataError(f'{final} exists already; --overwrite replaces it.')
    made = [parent for parent in (final.parent, *final.parent.parents) if not parent.exists()]
    final.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(final.parent)
    partial = Path(tempfile.mkdtemp(prefix=_process_name(os.getpid()), dir=final.parent))
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())  # mkdtemp is private, a data set need not be
        _replace(partial, final, overwrite)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _replace(partial: Path, final: Path, overwrite: bool) -> None:
    if not overwrite or not final.exists():
        try:
            partial.rename(final)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise DataError(f'{final} was made by another process meanwhile.') from error
            raise
        return
    old = Path(tempfile.mkdtemp(prefix=_process_name(os.getpid()), dir=final.parent)) / 'old'
    final.rename(old)
    try:
        partial.rename(final)
    except OSError:
        old.rename(final)
        raise
    finally:
        shutil.rmtree(old.parent, ignore_errors=True)
