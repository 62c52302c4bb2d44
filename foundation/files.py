"""A file appears whole under its name, or not at all; and the folder of what may be made anew."""

import errno
import os
import threading
from pathlib import Path

CACHE = Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')) / 'enhanced-gan'


def write_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Writes a file atomically, and makes the folders above it; what lay there is replaced.

    Args:
      path: of the file.
      content: all of it.
      mode: who may do what with it, less what the user's mask takes away.

    Raises:
      OSError: when it cannot be written; then nothing of it is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name of its own for each writer: the final name may be as long as names can be.
    temporary = path.with_name(f'.incomplete-{os.getpid()}-{threading.get_ident()}')
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), 'wb') as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or what one may use of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refuses_writing(error: BaseException) -> bool:
    """Whether an error says that a place cannot be written: it is full, closed to this user, or broken."""
    closed = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
    return is_full(error) or (isinstance(error, OSError) and error.errno in closed)
