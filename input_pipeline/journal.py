"""Which parts of an unfinished folder are whole, so that a command that was stopped goes on from them."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.export.manifest import file_checksum
from foundation.files import write_file


@dataclasses.dataclass(frozen=True)
class _Part:
    answer: dict[str, Any]
    files: dict[str, str]  # SHA-256 of what was written, by its name in the folder


class AnswerJournal:
    """Keeps, line by line, what is whole; the first line tells which command works at which place.

    Args:
      path: of the file; it goes on where it belongs to the same command and place, and else begins anew.
      folder: whose parts are kept; what is in it and belongs to no whole part is removed.
      owner: the command and its place, as JSON has them.

    Attributes:
      folder: as given.
    """

    def __init__(self, path: Path, folder: Path, owner: Mapping[str, Any]) -> None:
        self.folder, self._path = folder, path
        self._parts = _read_parts(path) if read_owner(path) == owner else {}
        lines = [dict(owner), *({'name': name, **vars(part)} for name, part in self._parts.items())]
        write_file(path, b''.join(map(_encode, lines)))  # a last line that was cut short is gone
        self._remove_strays()

    def __len__(self) -> int:
        return len(self._parts)

    def find(self, name: str) -> dict[str, Any] | None:
        """The answer that was kept; None, after its files are removed, where they or its inputs have changed."""
        part = self._parts.get(name)
        if part is None:
            return None
        inputs = {file['path']: file['sha256'] for file in part.answer.get('files', ())}
        if _are_whole(inputs, Path()) and _are_whole(part.files, self.folder):
            return part.answer
        del self._parts[name]
        for file in part.files:
            (self.folder / file).unlink(missing_ok=True)
        return None

    def keep(self, name: str, answer: Mapping[str, Any], files: Sequence[str]) -> None:
        """Adds a part.

        Args:
          name: of the part.
          answer: as JSON has it; under `files`, its inputs, each with `path` and `sha256`.
          files: that were written, by their names in the folder.
        """
        part = _Part(dict(answer), {file: file_checksum(self.folder / file) for file in files})
        self._parts[name] = part
        with self._path.open('ab') as journal:
            journal.write(_encode({'name': name, **vars(part)}))

    def _remove_strays(self) -> None:
        there = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob('*')}
        # Names of files that are not there, or not in the folder, were not written by this command.
        self._parts = {name: part for name, part in self._parts.items() if part.files.keys() <= there.keys()}
        kept = {file for part in self._parts.values() for file in part.files}
        for name, path in sorted(there.items(), reverse=True):  # what is in a folder comes before it
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # something is in it
                    path.rmdir()
            elif name not in kept:
                path.unlink()


def read_owner(path: Path) -> Any:
    """The first line of a journal; None where no whole part follows, so that nobody can go on from it."""
    try:
        with path.open('rb') as file:
            owner, _ = json.loads(file.readline()), json.loads(file.readline())
        return owner
    except (OSError, ValueError, RecursionError):
        return None


def _read_parts(path: Path) -> dict[str, _Part]:
    parts = {}
    with contextlib.suppress(ValueError, LookupError, TypeError, RecursionError):  # from there on it is damaged
        for line in path.read_bytes().splitlines()[1:]:
            content = json.loads(line)
            parts[content['name']] = _Part(dict(content['answer']), dict(content['files']))
    return parts


def _encode(line: Mapping[str, Any]) -> bytes:
    # ASCII, for names of files may hold bytes that are no text.
    return json.dumps(line, allow_nan=False).encode() + b'\n'


def _are_whole(checksums: Mapping[str, str], folder: Path) -> bool:
    try:
        return all(file_checksum(folder / file) == checksum for file, checksum in checksums.items())
    except OSError:
        return False
