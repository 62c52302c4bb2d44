"""manifest.json: what a folder of generated images is, and the SHA-256 of every file in it.

Needs nothing but the standard library, so that whoever receives a folder can check it anywhere.
"""

import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args

from foundation.files import write_file
from foundation.training.errors import UserError

MANIFEST_FILE = 'manifest.json'
SIGNATURE_FOLDER = 'signature'  # what signs a manifest, and so is in none: see foundation/signing/checklist.py
SIGNATURE_FILES = tuple(
    f'{SIGNATURE_FOLDER}/{name}'
    for name in ('checksums.txt', 'checksums.txt.sig', 'public_key.pem', 'certificate_authority.pem')
)
TIMESTAMP_FILE = f'{SIGNATURE_FOLDER}/checksums.txt.tsr'  # of some: see foundation/signing/timestamp.py
UNLISTED_FILES = (*SIGNATURE_FILES, TIMESTAMP_FILE)
FORMAT_VERSION = 2  # 2: data.split
DERIVED = 'derived from patient data'  # what `synthetic` says of images that show patients all the same
UNKNOWN_PATIENTS = 'patients unknown: each image counts as one'
_CHECKSUM = 'manifest_sha256'
_CHUNK = 2**20
_LARGEST = 2**28  # bytes of a manifest: more than a million files
# The fields that every manifest has, and their types; '' is the manifest itself.
_FIELDS: dict[str, dict[str, type | UnionType]] = {
    '': {
        **dict.fromkeys(('synthetic', 'format', 'licence', 'date'), str),
        **dict.fromkeys(('count', 'seed'), int),
        **dict.fromkeys(('software', 'command', 'model', 'data', 'release'), dict),
        'files': list,
    },
    'software': {'name': str, 'version': str},
    'model': {'weights_sha256': str, 'config_sha256': str, 'step': int, 'images_seen': int},
    'data': {
        **dict.fromkeys(('name', 'fingerprint', 'split', 'licence'), str),
        'images': int,
        'patients': int | None,
        'patients_known': bool,
    },
    'release': {'verdict': str, 'figures': dict},
}


Verdict = Literal['pass', 'fail', 'not checked']
Kind = Literal['file', 'empty folder', 'other']


@dataclasses.dataclass(frozen=True)
class Release:
    """What the release gate found.

    Attributes:
      verdict: 'not checked' where no gate stood between drawing and writing.
      figures: what it measured and with which extractor, as JSON has it; null where there is no number.
      note: a sentence on the images that the gate does not ask about; '' for none.
    """

    verdict: Verdict
    figures: Mapping[str, Any]
    note: str = ''


NOT_CHECKED = Release('not checked', {})


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes the manifest of all files that `folder` holds.

    Args:
      folder: complete but for the manifest.
      content: all its fields but the version of its format, the files and its own checksum.
    """
    files = [
        {'name': name, 'bytes': path.stat().st_size, 'sha256': file_checksum(path)}
        for name, path, kind in walk(folder)
        if kind == 'file' and name not in (MANIFEST_FILE, *UNLISTED_FILES)
    ]
    manifest = {'format_version': FORMAT_VERSION, **content, 'files': files}
    manifest[_CHECKSUM] = _checksum(manifest)
    write_file(folder / MANIFEST_FILE, _encode(manifest).encode())


def describe_content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What `write_manifest` was given for a manifest."""
    return {name: value for name, value in manifest.items() if name not in ('format_version', 'files', _CHECKSUM)}


def has_manifest(folder: Path) -> bool:
    """Whether a folder holds a manifest of this software; other programs write files of this name, too."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return False
    return path.stat().st_size > _LARGEST or f'"{_CHECKSUM}"'.encode() in path.read_bytes()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, if it is as it was written.

    Raises:
      UserError: when it is missing, a link, too large, unreadable, altered, or names files outside the folder.
    """
    path = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise UserError(f'{folder} is no folder; name a folder that gan.generate wrote.')
    if path.is_symlink() or not path.is_file():
        raise UserError(f'{folder} holds no {MANIFEST_FILE}; name a folder that gan.generate wrote.')
    if path.stat().st_size > _LARGEST:
        raise UserError(f'{path} has {path.stat().st_size} bytes, more than any manifest has; it was not read.')
    try:
        # Line ends are kept as they are: a manifest with others is not the one that was written.
        text = path.read_bytes().decode()
        manifest = json.loads(text, parse_constant=_refuse_constant)
    except OSError as error:
        raise UserError(f'{path} cannot be read ({error.strerror or error}).') from error
    except (ValueError, RecursionError) as error:
        raise _altered(path, f'it is not JSON: {error}') from error
    version = manifest.get('format_version') if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(f'{path} is of format version {version}; check it with a newer version of this software.')
    if version == 1:
        raise UserError(f'{path} is of format version 1; check it with the version that wrote it.')
    if version != FORMAT_VERSION or manifest.get(_CHECKSUM) != _checksum(manifest) or text != _encode(manifest):
        raise _altered(path, 'its own checksum does not match')
    _check_fields(path, manifest)
    return manifest


def walk(folder: Path) -> Iterator[tuple[str, Path, Kind]]:
    """All that lies in a folder but folders that hold something, in order: name with '/', path and kind.

    No link is followed; links are of the kind 'other'.
    """
    waiting = ['']
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        if prefix and not found:
            yield prefix, folder / prefix, 'empty folder'
        waiting += [f'{prefix}{entry.name}/' for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                is_plain = stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
                yield f'{prefix}{entry.name}', Path(entry.path), 'file' if is_plain else 'other'


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, a piece at a time."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def content_checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of some fields: sorted names, no spaces, ASCII."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def _checksum(manifest: Mapping[str, Any]) -> str:
    return content_checksum({name: value for name, value in manifest.items() if name != _CHECKSUM})


def _encode(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1, allow_nan=False) + '\n'


def _refuse_constant(name: str) -> None:
    raise ValueError(f'{name} is no number')


def _altered(path: Path, reason: str) -> UserError:
    return UserError(f'{path} was altered or damaged ({reason}); nothing that it says can be relied on.')


def _check_fields(path: Path, manifest: Mapping[str, Any]) -> None:
    """Raises UserError unless all fields are there, of their types, and files are named once each, inside."""
    for part, fields in _FIELDS.items():
        holder = manifest[part] if part else manifest
        for name, kind in fields.items():
            if name not in holder or not isinstance(holder[name], kind):
                raise _altered(path, f'its field {part}{"." if part else ""}{name} is missing or of another type')
    _check_values(path, manifest)
    names = set()
    for entry in manifest['files']:
        types = (str, int, str)
        values = [entry.get(name) for name in ('name', 'bytes', 'sha256')] if isinstance(entry, dict) else []
        if not values or not all(map(isinstance, values, types)):
            raise _altered(path, 'a file in its list lacks name, bytes or checksum')
        if not _is_inside(entry['name']) or entry['name'] in names:
            raise _altered(path, f'it names the file {entry["name"]!a}, twice or outside the folder')
        names.add(entry['name'])


def _check_values(path: Path, manifest: Mapping[str, Any]) -> None:
    """Raises UserError for fields of the right type that say what cannot be."""
    model, data, verdict = manifest['model'], manifest['data'], manifest['release']['verdict']
    if verdict not in get_args(Verdict):
        raise _altered(path, f'its verdict {verdict!a} is none of {", ".join(get_args(Verdict))}')
    counts = (manifest['count'], model['step'], model['images_seen'], data['images'], data['patients'] or 0)
    if min(counts) < 0:
        raise _altered(path, 'one of its counts is negative')
    if data['patients_known'] != (data['patients'] is not None):
        raise _altered(path, 'it gives a number of patients and calls them unknown, or neither')


def _is_inside(name: str) -> bool:
    """Whether a name is relative, with plain parts only, and that of a file that a manifest lists."""
    parts = name.split('/')
    if name in (MANIFEST_FILE, *UNLISTED_FILES):
        return False
    return '\\' not in name and '\0' not in name and not {'', '.', '..'} & set(parts)
