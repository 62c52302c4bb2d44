"""Finding files below a folder: what is looked at, what is refused, and what their paths say."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from input_pipeline.errors import DataError, Refusals
from input_pipeline.records import Item

SPLITS = {
    'train': 'train',
    'training': 'train',
    'val': 'validation',
    'valid': 'validation',
    'validation': 'validation',
    'test': 'test',
    'testing': 'test',
}
_COMPANIONS = {'.csv', '.tsv', '.txt', '.md', '.json', '.xml'}
_COMPANION_NAMES = {'readme', 'license', 'copying', 'changes'}
_SYSTEM_NAMES = {'__macosx', 'thumbs.db', 'desktop.ini'}


def walk(root: Path, refusals: Refusals) -> Iterator[PurePosixPath]:
    """Files below `root`, relative to it, in an order that is the same on every machine.

    Left out silently: hidden files, what operating systems scatter (`__MACOSX`, `Thumbs.db`), and texts
    that accompany data sets (csv, tsv, txt, md, json, xml, README, LICENSE). Links to folders and links
    that leave `root` are refused.

    Raises:
      DataError: `root` is not a folder.
    """
    if not root.is_dir():
        raise DataError(f'{root}: is not a folder; give --path the folder that holds the images.')
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not _is_ignored(name))
        for name in [name for name in subfolders if os.path.islink(os.path.join(folder, name))]:
            refusals.add(str(_relative(root, folder, name)), 'is a link to a folder; copy the folder instead')
        found += [_relative(root, folder, name) for name in names if not _is_companion(name)]
    real_root = root.resolve()
    for relative in sorted(found):
        if (root / relative).is_symlink() and not (root / relative).resolve().is_relative_to(real_root):
            refusals.add(str(relative), 'is a link that leaves the folder; copy the file instead')
        else:
            yield relative


def _relative(root: Path, folder: str, name: str) -> PurePosixPath:
    return PurePosixPath((Path(folder) / name).relative_to(root).as_posix())


def _is_ignored(name: str) -> bool:
    return name.startswith('.') or name.lower() in _SYSTEM_NAMES


def _is_companion(name: str) -> bool:
    stem, suffix = os.path.splitext(name.lower())
    return _is_ignored(name) or suffix in _COMPANIONS or (stem or name.lower()) in _COMPANION_NAMES


def inside(root: Path, text: str) -> Path:
    """The file below `root` that an index names.

    Raises:
      DataError: the path is absolute, steps out with `..` or through a link, or there is no such file.
    """
    relative = PurePosixPath(text.replace('\\', '/'))
    if relative.is_absolute() or PureWindowsPath(text).drive or '..' in relative.parts or '\0' in text:
        raise DataError(f'the path {text!r} leaves the folder; index paths must be relative and stay inside')
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f'the path {text!r} is a link that leaves the folder; copy the file instead')
    if not path.is_file():
        raise DataError(f'the file {text!r} does not exist')
    return path


def patient_finder(pattern: str) -> Callable[[str, str], str]:
    """A function of (relative path, default) that gives the patient of a file.

    Args:
      pattern: `ReaderOptions.patient_pattern`; '' always gives the default.

    Raises:
      DataError: from here, when the pattern is no regular expression with a group; from the function,
        when a path does not match it (a guess could put one patient into two splits).
    """
    if not pattern:
        return lambda _path, default: default
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f'--patient_pattern={pattern!r} is not a regular expression: {error}.') from error
    if compiled.groups < 1:
        raise DataError(f'--patient_pattern={pattern!r} has no group; put the patient in parentheses.')

    def find(path: str, _default: str) -> str:
        match = compiled.search(path)
        if match is None or not match.group(1):
            raise DataError(f'does not match --patient_pattern={pattern!r}, so its patient is unknown')
        return match.group(1)

    return find


def leading_split(relative: PurePosixPath) -> str | None:
    """The split that the first folder of a relative path names, or None."""
    return SPLITS.get(relative.parts[0].lower()) if len(relative.parts) > 1 else None


@contextlib.contextmanager
def naming(source: PurePosixPath | str) -> Iterator[None]:
    """Puts the name of the file in front of the message of a DataError; what the system refused becomes one."""
    try:
        yield
    except DataError as error:
        raise DataError(f'{source}: {error}') from error
    except OSError as error:
        raise DataError(f'{source}: cannot be read ({error.strerror or error})') from error


@contextlib.contextmanager
def refusing(source: PurePosixPath | str, refusals: Refusals) -> Iterator[None]:
    """Turns a DataError about one file, and what the system refused, into a refusal of that file."""
    try:
        yield
    except DataError as error:
        reason = str(error)
    except OSError as error:
        reason = f'cannot be read ({error.strerror or error})'
    else:
        return
    refusals.add(str(source), reason)


def require_items(items: list[Item], root: Path, wanted: str, refusals: Refusals) -> list[Item]:
    """The items, sorted by key.

    Raises:
      DataError: there is none.
    """
    if items:
        return sorted(items, key=lambda item: item.key)
    if refusals.reasons:
        path, reason = next(iter(refusals.reasons.items()))
        raise DataError(
            f'{root}: nothing usable is left, {len(refusals.reasons)} files were refused; first {path}: {reason}.'
        )
    raise DataError(f'{root}: holds no {wanted}.')
