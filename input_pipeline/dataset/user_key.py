"""The secret key by which names become pseudonyms: one for each user, made when it is first needed."""

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from input_pipeline.errors import DataError

VARIABLE = 'ENHANCED_GAN_KEY'
_SHORTEST, _LONGEST = 32, 4096  # bytes of a file
_BYTES = 32  # of a new key


def load_key(named: Path | None) -> bytes:
    """The key of a file, by which the same names get the same pseudonyms.

    Args:
      named: the file; None for that of the variable ENHANCED_GAN_KEY, or else for the user's own, which is made
        where it is missing.

    Raises:
      DataError: a named file is missing; a file is readable by others, too short or too long, or cannot be read.
    """
    variable = os.environ.get(VARIABLE)
    file = named or (Path(variable) if variable else None)
    if file is None:
        file = _own_file()
        if not file.exists():
            _create(file)
    return _read(file.expanduser())


def _own_file() -> Path:
    folder = os.environ.get('XDG_CONFIG_HOME') or '~/.config'
    return Path(folder).expanduser() / 'enhanced-gan' / 'key'


def _create(file: Path) -> None:
    """Puts a new key there, whole; where another process was faster, its key stays."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(prefix='key.', dir=file.parent)  # of mode 0600
        try:
            with open(descriptor, 'w', encoding='ascii') as new:
                new.write(f'{secrets.token_hex(_BYTES)}\n')
                new.flush()
                os.fsync(new.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(scratch, file)
        finally:
            os.unlink(scratch)
    except OSError as error:
        raise DataError(
            f'{file}: the key for pseudonyms cannot be made ({error.strerror}); --key=FILE names another.'
        ) from error


def _read(file: Path) -> bytes:
    try:
        with file.open('rb') as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(_LONGEST + 1).strip()
    except FileNotFoundError:
        raise DataError(
            f'{file}: there is no such key; make one with: (umask 077; openssl rand -hex {_BYTES} > FILE)'
        ) from None
    except OSError as error:
        raise DataError(f'{file}: the key cannot be read ({error.strerror}).') from error
    if not stat.S_ISREG(mode):
        raise DataError(f'{file}: is no file, so no key.')
    if mode & 0o077:
        raise DataError(f'{file}: others than its owner may use this key; make it private with: chmod 600 {file}')
    if not _SHORTEST <= len(content) <= _LONGEST:
        raise DataError(f'{file}: a key has {_SHORTEST} to {_LONGEST} bytes; this file has another length.')
    return content
