"""The signature of a whole release: a list of checksums that other tools read, and an Ed25519 signature of it.

The folder `signature` of a release holds four files. `checksums.txt` is as `sha256sum --check` reads it: three
lines of comment tell who signs, when, and with which key; each other line is the SHA-256 of a file, the manifest
first. `checksums.txt.sig` is the signature of these bytes (RFC 8032), 64 bytes. The two others are the public key,
and the certificate of the authority behind signatures in single files.
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from foundation.export.manifest import MANIFEST_FILE, SIGNATURE_FILES, SIGNATURE_FOLDER, file_checksum
from foundation.signing.findings import Finding
from foundation.signing.keys import (
    AUTHORITY,
    PUBLIC_KEY,
    SigningKeys,
    encode_certificate,
    fingerprint,
    parse_public_key,
)
from foundation.signing.moment import write_moment
from foundation.training.errors import UserError

LIST = 'checksums.txt'
SIGNATURE = f'{LIST}.sig'
_CARRIED = (AUTHORITY, PUBLIC_KEY)  # that lie beside the list
_HEAD = re.compile(
    r'# Release signed by: (?P<name>[^\n]*)\n'
    r'# Time, as the signer states it: (?P<time>[0-9TZ:-]{20})\n'
    r'# SHA-256 of the DER form of the Ed25519 key: (?P<key>[0-9a-f]{64})\n'
)
_LARGEST = 2**29  # bytes of a list: more than a million files
_LARGEST_CARRIED = 2**16


@dataclasses.dataclass(frozen=True)
class _Signed:
    """The files of a folder `signature`."""

    text: bytes
    signature: bytes
    carried: dict[str, bytes]


def write_signature(
    target: Path, release: Path, manifest: Mapping[str, Any], keys: SigningKeys, time: datetime
) -> None:
    """Signs a release.

    Args:
      target: empty folder for the four files.
      release: whole.
      manifest: its own.
      keys: of the signer.
      time: as the signer states it, in UTC.

    Raises:
      UserError: for a file whose name holds a line break, and for keys that are not valid at that time.
    """
    keys.check_time(time)
    for entry in manifest['files']:
        if re.search(r'[\r\n]', entry['name']):
            raise UserError(
                f'{release}: the name {entry["name"]!a} holds a line break; rename it before it is signed.'
            )
    (target / PUBLIC_KEY).write_bytes(keys.public_key)
    (target / AUTHORITY).write_bytes(encode_certificate(keys.authority))
    carried = {name: (target / name).read_bytes() for name in _CARRIED}
    head = (
        f'# Release signed by: {keys.name}\n'
        f'# Time, as the signer states it: {write_moment(time)}\n'
        f'# SHA-256 of the DER form of the Ed25519 key: {fingerprint(keys.release.public_key())}\n'
    )
    text = head.encode() + b''.join(_list(release, manifest, carried))
    (target / LIST).write_bytes(text)
    (target / SIGNATURE).write_bytes(keys.release.sign(text))


def check_signature(
    release: Path, manifest: Mapping[str, Any] | None, pinned: ed25519.Ed25519PublicKey | None
) -> Finding:
    """Whether the list is signed, and is that of this manifest; files are for the manifest to compare.

    Args:
      release: a folder.
      manifest: its own, as it was read; None where that is missing or altered.
      pinned: the key that must have signed; None takes the one that lies in the folder, whoever put it there.
    """
    folder = release / SIGNATURE_FOLDER
    if not any(os.path.lexists(release / name) for name in SIGNATURE_FILES):
        return Finding('absent', 'no signature lies here')
    if folder.is_symlink() or not folder.is_dir():
        return Finding('broken', f'{SIGNATURE_FOLDER} is no folder')
    signed = _read_signed(folder)
    if isinstance(signed, str):
        return Finding('broken', signed)
    carried = parse_public_key(signed.carried[PUBLIC_KEY])
    key = carried if pinned is None else pinned
    if key is None:
        return Finding('broken', f'{PUBLIC_KEY} holds no Ed25519 key')
    if not _is_valid(key, signed):
        if carried is not None and _is_valid(carried, signed):
            return Finding('broken', f'signed by another key than the one named, SHA-256 {fingerprint(carried)}')
        return Finding('broken', f'the signature is not that of {LIST}')
    return _compare(release, manifest, signed, key, is_pinned=pinned is not None)


def _compare(
    release: Path,
    manifest: Mapping[str, Any] | None,
    signed: _Signed,
    key: ed25519.Ed25519PublicKey,
    *,
    is_pinned: bool,
) -> Finding:
    """What a list says, whose signature is right."""
    try:
        head = _HEAD.match(signed.text.decode())
    except ValueError:
        head = None
    own = fingerprint(key)
    if head is None or head['key'] != own:
        return Finding('broken', f'{LIST} is not of a form that is known here')
    if manifest is None:
        return Finding('broken', f'the {MANIFEST_FILE} that was signed is missing or altered')
    if signed.text[len(head[0].encode()) :] != b''.join(_list(release, manifest, signed.carried)):
        return Finding('broken', f'another {MANIFEST_FILE}, or another key beside it, was signed')
    whose = 'by the key that is named' if is_pinned else 'by a key that came with the folder: compare its SHA-256'
    return Finding('held', f'signed {whose}, {own}, as {head["name"]!a}, at {head["time"]} as it states')


def _list(release: Path, manifest: Mapping[str, Any], carried: dict[str, bytes]) -> Iterator[bytes]:
    """The lines of a list."""
    yield _line(file_checksum(release / MANIFEST_FILE), MANIFEST_FILE)
    for name, content in sorted(carried.items()):
        yield _line(hashlib.sha256(content).hexdigest(), f'{SIGNATURE_FOLDER}/{name}')
    for entry in manifest['files']:
        yield _line(entry['sha256'], entry['name'])


def _line(checksum: str, name: str) -> bytes:
    return f'{checksum}  {name}\n'.encode(errors='surrogateescape')


def _is_valid(key: ed25519.Ed25519PublicKey, signed: _Signed) -> bool:
    try:
        key.verify(signed.signature, signed.text)
    except InvalidSignature:
        return False
    return True


def _read_signed(folder: Path) -> _Signed | str:
    """The four files, or what is wrong with one of them."""
    found = {}
    for name in (LIST, SIGNATURE, *_CARRIED):
        path, largest = folder / name, _LARGEST if name == LIST else _LARGEST_CARRIED
        if path.is_symlink() or not path.is_file():
            return f'{SIGNATURE_FOLDER}/{name} is missing'
        try:
            with path.open('rb') as file:
                found[name] = file.read(largest + 1)
        except OSError as error:
            return f'{SIGNATURE_FOLDER}/{name} cannot be read ({error.strerror})'
        if len(found[name]) > largest:
            return f'{SIGNATURE_FOLDER}/{name} is larger than any'
    return _Signed(found[LIST], found[SIGNATURE], {name: found[name] for name in _CARRIED})
