"""Finding files below a folder: what is looked at, what is refused, and what their paths say."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from input_pipeline.atomic import INCOMPLETE
from input_pipeline.errors import DataError, Refusals, reason_of
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
_CONVERTERS = {
    '.mgz': 'mri_convert',
    '.mgh': 'mri_convert',
    '.mnc': 'mnc2nii',
    '.brik': '3dAFNItoNIFTI',
    '.head': '3dAFNItoNIFTI',
    '.svs': 'OpenSlide or QuPath',
    '.ndpi': 'OpenSlide or QuPath',
    '.jp2': 'OpenCV or ImageMagick',
    '.heic': 'ImageMagick',
    '.psd': 'ImageMagick',
}
_PACKED = ('.zip', '.gz', '.tar', '.tgz', '.bz2', '.xz', '.7z', '.rar', '.zst')
_SOURCES = dict.fromkeys(('.nii', '.nii.gz', '.nrrd', '.nhdr', '.mha', '.mhd'), 'nifti')
_SOURCES |= {'.dcm': 'dicom', '.npz': 'arrays', '.npy': 'arrays'}
_COMPANIONS = {'.csv', '.tsv', '.txt', '.md', '.json', '.xml', '.pem', '.sig'}
_COMPANION_NAMES = {'readme', 'license', 'copying', 'changes'}
# What Windows, macOS and Synology's disk stations leave in folders.
_SYSTEM_NAMES = {'__macosx', 'thumbs.db', 'desktop.ini', '@eadir', '$recycle.bin', 'system volume information'}


def walk(root: Path, refusals: Refusals) -> Iterator[PurePosixPath]:
    """Files below `root`, relative to it, in an order that is the same on every machine.

    Counted as passed over: hidden files, what operating systems scatter (`__MACOSX`, `Thumbs.db`), texts that
    accompany data sets (csv, tsv, txt, md, json, xml, README, LICENSE) and their signatures (pem, sig), and what
    killed commands left of folders that were not complete (`incomplete.*`). Links to files and folders below
    `root` are followed; those that leave it, lead nowhere or form a loop are refused, and so are pipes,
    sockets, devices, and folders that cannot be listed.

    Raises:
      DataError: `root` is not a folder, or (where refusals are not skipped) one of the above.
    """
    if not root.is_dir():
        raise DataError(f'{root}: is not a folder; give --path the folder that holds the images.')
    tree = _Tree(str(root), os.path.realpath(root), refusals)
    tree.look()
    yield from sorted(tree.found)


@dataclasses.dataclass
class _Tree:
    """A walk below a folder.

    Attributes:
      root, real_root: the folder as it was named, and without links.
      refusals: takes what is not read.
      found: files to read, relative to the root.
      doubled: links whose targets are met at their own place too.
    """

    root: str
    real_root: str
    refusals: Refusals
    found: list[PurePosixPath] = dataclasses.field(default_factory=list)
    doubled: int = 0

    def look(self) -> None:
        """Finds everything; a folder waits with the places of the links that led to it."""
        waiting: list[tuple[str, tuple[str, ...]]] = [('', ())]
        followed: set[str] = set()
        while waiting:
            prefix, chain = waiting.pop()
            for entry in self._list(prefix):
                relative = prefix + entry.name
                kind = _kind_passed_over(entry.name, entry.is_dir())
                if kind is not None:
                    self.refusals.pass_over(kind)
                elif entry.is_symlink():
                    target = os.path.realpath(entry.path)
                    places = (*chain, os.path.realpath(os.path.dirname(entry.path)))
                    reason = self._refuse_link(entry, target, places, followed)
                    if reason is not None:
                        self.refusals.add(relative, reason)
                        continue
                    self.doubled += _is_visible(os.path.relpath(target, self.real_root))
                    if entry.is_dir():
                        followed.add(target)
                        waiting.append((f'{relative}/', places))
                    else:
                        self.found.append(PurePosixPath(relative))
                elif entry.is_dir():
                    waiting.append((f'{relative}/', chain))
                elif entry.is_file():
                    self.found.append(PurePosixPath(relative))
                else:
                    self.refusals.add(relative, 'is a pipe, socket or device, not a file')
        if self.doubled:
            self.refusals.note(
                f'{self.doubled} links lead to what lies in the folder anyway, so the same images may be in the '
                'data set twice, in two splits even; remove the links.'
            )

    def _list(self, prefix: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self.root, prefix)) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.refusals.add(prefix or '.', f'cannot be listed ({error.strerror or error})')
            return []

    def _refuse_link(
        self, entry: os.DirEntry[str], target: str, places: tuple[str, ...], followed: set[str]
    ) -> str | None:
        """Why a link is not followed, or None."""
        kind = 'folder' if entry.is_dir() else 'file'
        if not _is_below(target, self.real_root):
            return (
                f'is a link that leaves the folder; copy the {kind} instead, or give --path the folder that holds '
                'the link and its target'
            )
        if not os.path.exists(target):
            return 'is a link that leads nowhere; fetch the file (git annex get, dvc pull) or remove the link'
        if not entry.is_dir():
            return None if entry.is_file() else 'is a link to a pipe, socket or device, not to a file'
        if any(_is_below(place, target) for place in places):
            return 'is a link to a folder that holds it, which has no end; remove the link'
        return 'is a second link to the same folder; remove one of them' if target in followed else None


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_visible(relative: str) -> bool:
    return not any(_is_ignored(part) for part in relative.split(os.sep) if part != os.curdir)


def _kind_passed_over(name: str, is_folder: bool) -> str | None:
    """What a name says of a file that nobody would take for data, as a plural; None for all others."""
    if _is_ignored(name):
        origin = 'hidden' if name.startswith('.') else 'system'
        return f'{origin} folders' if is_folder else f'{origin} files'
    if is_folder:
        return 'folders of commands that did not end' if name.startswith(INCOMPLETE) else None
    stem, suffix = os.path.splitext(name.lower())
    is_text = suffix in _COMPANIONS or (stem or name.lower()) in _COMPANION_NAMES
    return 'texts (csv, json, txt, ...)' if is_text else None


def _is_ignored(name: str) -> bool:
    return name.startswith('.') or name.lower() in _SYSTEM_NAMES


def remedy(relative: PurePosixPath) -> str:
    """What to do with a file of another format, to end a sentence with; '' for files of no known format."""
    name = relative.name.lower()
    suffixes = {suffix.lower() for suffix in relative.suffixes}
    tool = next((tool for suffix, tool in _CONVERTERS.items() if suffix in suffixes), None)
    if tool is not None:
        return f'; convert it first, for example with {tool}'
    if name.endswith(_PACKED) and not name.endswith('.nii.gz'):
        return '; unpack it first'
    return ''


def other_reader(relative: PurePosixPath) -> str:
    """Which `--source` reads a file, to end a sentence with; '' where its name does not tell."""
    name = relative.name.lower()
    source = next((source for ending, source in _SOURCES.items() if name.endswith(ending)), None)
    return f'; --source={source} reads such files' if source else ''


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
    """Puts the name of the file in front of the reason, whatever was raised; see `reason_of`."""
    try:
        yield
    except Exception as error:
        raise DataError(f'{source}: {reason_of(error)}') from error


@contextlib.contextmanager
def refusing(source: PurePosixPath | str, refusals: Refusals) -> Iterator[None]:
    """Turns whatever the reading of one file raises into a refusal of that file; see `reason_of`."""
    try:
        yield
    except Exception as error:
        refusals.add(str(source), reason_of(error))


def describe_kinds(passed_over: Mapping[str, int]) -> str:
    """What was passed over, as a list with counts."""
    return ', '.join(f'{count} {kind}' for kind, count in passed_over.items())


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
    only = f', only {describe_kinds(refusals.passed_over)}' if refusals.passed_over else ''
    raise DataError(f'{root}: holds no {wanted}{only}.')
