"""Whether a folder holds what its manifest says, in memory that grows with the number of its files alone."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

from foundation.export.manifest import (
    MANIFEST_FILE,
    UNLISTED_FILES,
    Kind,
    file_checksum,
    has_manifest,
    read_manifest,
    walk,
)
from foundation.training.errors import UserError


@dataclasses.dataclass
class Check:
    """What was found.

    Attributes:
      manifest: of the folder, itself whole.
      faults: names of files, some of each kind of fault.
      counts: how many there are of each kind.
    """

    manifest: dict[str, Any]
    faults: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    @property
    def is_whole(self) -> bool:
        """Whether there is no fault."""
        return not self.counts

    def add(self, kind: str, name: str, shown: int) -> None:
        """Counts a fault, and keeps the name while fewer than `shown` are kept."""
        self.counts[kind] += 1
        names = self.faults.setdefault(kind, [])
        if len(names) < shown:
            names.append(name)


def check_folder(folder: Path, shown: int) -> Check:
    """Compares every file of a folder with its manifest.

    Only files that are found below the folder are opened, never what a name in the manifest may lead to, and no
    link is followed. The files of a signature are in no manifest: `foundation.signing.checklist` looks at them.

    Args:
      folder: with a manifest.
      shown: names kept of each kind of fault.

    Raises:
      UserError: see `read_manifest`.
      OSError: when a folder inside cannot be listed.
    """
    check = Check(read_manifest(folder))
    listed = {entry['name']: entry for entry in check.manifest['files']}
    for name, path, kind in walk(folder):
        if name == MANIFEST_FILE or (name in UNLISTED_FILES and kind == 'file'):
            continue
        entry = listed.pop(name, None)
        fault = _find_fault(path, entry, kind)
        if fault:
            check.add(fault, name, shown)
    for name in listed:
        check.add('missing', name, shown)
    return check


def read_whole(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder that is as it was written; None where a folder has none of ours.

    Raises:
      UserError: when its manifest or one of its files was altered, is missing, or was added.
    """
    if not has_manifest(folder):
        return None
    check = check_folder(folder, shown=1)
    if not check.is_whole:
        kind, (name, *_) = next(iter(check.faults.items()))
        others = sum(check.counts.values()) - 1
        raise UserError(
            f'{folder} is not what its {MANIFEST_FILE} says ({kind}: {printable(name)}'
            + (f', and {others} more' if others else '')
            + '); get it again, or see: python -m gan.verify.'
        )
    return check.manifest


def _find_fault(path: Path, entry: dict[str, Any] | None, kind: Kind) -> str:
    if kind == 'empty folder':
        return 'added empty folder'
    if kind == 'other':
        return 'a link or no plain file'
    if entry is None:
        return 'added'
    try:
        is_same = (
            path.stat(follow_symlinks=False).st_size == entry['bytes'] and file_checksum(path) == entry['sha256']
        )
    except OSError:
        return 'unreadable'
    return '' if is_same else 'altered'


def printable(text: object) -> str:
    """Text without what a terminal could take for a command, nor what it could not show."""
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
