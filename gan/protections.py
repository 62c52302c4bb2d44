"""What can be checked of a release, or of a single file from anywhere: one layer of protection after the other."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.export.manifest import MANIFEST_FILE, SIGNATURE_FILES, TIMESTAMP_FILE, walk
from foundation.export.verification import Check, check_folder
from foundation.signing.findings import Finding, join_findings
from foundation.signing.kinds import DICOM, Kind, find_kinds
from foundation.signing.packages import is_installed, name_remedy
from foundation.training.errors import UserError

if TYPE_CHECKING:  # whoever receives a folder need not have it
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ed25519

    from foundation.watermark import MarkKey

SHOWN = 20  # names of each kind of fault
_LARGEST_DICOM = 2**30  # bytes of a file that is read
_SAMPLED = 20
_NO_IMAGE = 'no picture and no DICOM file'
_MARK_LEVEL = 1e-6  # p values up to which a mark is said to be there


@dataclasses.dataclass(frozen=True)
class Verified:
    """What is looked at, and whom it must come from.

    Attributes:
      path: a folder, or a file.
      key: that must have signed the manifest; None for any.
      authority: that must have certified who signed single files; None for any.
      time_authority: that must have stamped the signature; None for any.
      mark_key: file of the key of a watermark to look for; None for none.
      detector: workdir of a detector to ask; None for none.
    """

    path: Path
    key: 'ed25519.Ed25519PublicKey | None' = None
    authority: 'x509.Certificate | None' = None
    time_authority: 'x509.Certificate | None' = None
    mark_key: Path | None = None
    detector: Path | None = None

    @functools.cached_property
    def check(self) -> Check | str:
        """What the manifest of the folder says, or why it says nothing."""
        try:
            return check_folder(self.path, shown=SHOWN)
        except UserError as error:
            return str(error)

    @functools.cached_property
    def files(self) -> dict[Kind, list[tuple[str, Path]]]:
        """Names and paths of the files that can hold a signature, by kind; one may be of two."""
        found: dict[Kind, list[tuple[str, Path]]] = {}
        for name, path in self._walk():
            for kind in find_kinds(path):
                found.setdefault(kind, []).append((name, path))
        return found

    @functools.cached_property
    def images(self) -> dict[str, Path]:
        """The pictures and DICOM files that are no masks, by name."""
        return {name: path for rows in self.files.values() for name, path in rows if not name.startswith('masks/')}

    @property
    def sampled(self) -> dict[str, Path]:
        """A few of `images`, evenly spread: what takes about a second for each looks at no more."""
        rows, total = list(self.images.items()), len(self.images)
        count = min(total, _SAMPLED)
        return dict(rows[place * total // count] for place in range(count))

    def _walk(self) -> Iterator[tuple[str, Path]]:
        if not self.path.is_dir():
            yield self.path.name, self.path
            return
        yield from ((name, path) for name, path, kind in walk(self.path) if kind == 'file')


def _check_manifest(target: Verified) -> Finding:
    if not target.path.is_dir():
        return Finding('absent', 'a single file; name its folder to have that compared')
    if not (target.path / MANIFEST_FILE).exists() and not (target.path / MANIFEST_FILE).is_symlink():
        return Finding('absent', f'{target.path} holds no {MANIFEST_FILE}')
    check = target.check
    if isinstance(check, str):
        return Finding('broken', check)
    faults = []
    for kind, names in check.faults.items():
        faults += [f'{kind}: {name}' for name in names]
        if check.counts[kind] > len(names):
            faults.append(f'{kind}: ... and {check.counts[kind] - len(names)} more')
    if faults:
        return Finding('broken', f'not as it says: {check.counts.total():,} of its files or others', tuple(faults))
    return Finding('held', f'{len(check.manifest["files"]):,} files are as it says, and no other is there')


def _check_signature(target: Verified) -> Finding:
    folder = target.path
    if not folder.is_dir():
        return Finding('absent', 'a single file; name its folder to have that looked at')
    if not is_installed('cryptography'):
        is_there = any((folder / name).exists() for name in SIGNATURE_FILES)
        return _lack('cryptography') if is_there else Finding('absent', 'no signature lies here')
    from foundation.signing.checklist import check_signature

    return check_signature(folder, None if isinstance(target.check, str) else target.check.manifest, target.key)


def _check_timestamp(target: Verified) -> Finding:
    if not target.path.is_dir():
        return Finding('absent', 'a single file; name its folder to have that looked at')
    if not is_installed('rfc3161_client'):
        is_there = (target.path / TIMESTAMP_FILE).exists()
        return _lack('rfc3161_client') if is_there else Finding('absent', 'no time stamp lies here')
    from foundation.signing.timestamp import check_timestamp

    return check_timestamp(target.path, target.time_authority)


def _check_credentials(target: Verified) -> Finding:
    pictures = [(kind, *row) for kind, rows in target.files.items() if kind != DICOM for row in rows]
    if not pictures:
        return Finding('absent', 'no PNG, TIFF or JPEG file')
    if not is_installed('c2pa'):
        return _lack('c2pa')
    from foundation.signing.credentials import CredentialReader

    reader = CredentialReader(target.authority)
    return join_findings(((name, reader.check(path, kind)) for kind, name, path in pictures), SHOWN)


def _check_dicom_tag(target: Verified) -> Finding:
    files = target.files.get(DICOM)
    if not files:
        return Finding('absent', 'no DICOM file')
    return join_findings(((name, _read_tag(path)) for name, path in files), SHOWN)


def _check_dicom_signature(target: Verified) -> Finding:
    files = target.files.get(DICOM)
    if not files:
        return Finding('absent', 'no DICOM file')
    if not is_installed('cryptography'):
        return _lack('cryptography')
    return join_findings(((name, _check_dicom_file(path, target.authority)) for name, path in files), SHOWN)


def _check_watermark(target: Verified) -> Finding:
    if target.mark_key is None:
        return Finding('unclear', 'name the key to look with: --watermark=KEYFILE')
    from foundation.watermark import read_key

    key = read_key(target.mark_key)
    if not target.images:
        return Finding('absent', _NO_IMAGE)
    declared: Mapping[str, Any] = {}
    if target.path.is_dir() and not isinstance(target.check, str):
        found_there = target.check.manifest.get('watermark')
        declared = found_there if isinstance(found_there, dict) else {}
    looked, total, payload = target.sampled, len(target.images), declared.get('payload')
    found = join_findings(((name, _read_mark(path, key, payload)) for name, path in looked.items()), SHOWN)
    told = found.detail if len(looked) == total else f'{found.detail} (of {total:,}, evenly spread)'
    if found.state == 'absent' and declared.get('key', key.name) != key.name:
        told += f'; the manifest names the key {declared["key"]!a}, and this is {key.name}'
    return dataclasses.replace(found, detail=told)


def _read_mark(path: Path, key: 'MarkKey', declared: str | None) -> Finding:
    from gan.watermark import read_mark

    try:
        found = read_mark(path, key)
    except UserError as error:
        return Finding('unclear', str(error))
    if found.p_value > _MARK_LEVEL:
        return Finding('absent', f"this key's mark is not in it, or was lost (p > {_MARK_LEVEL:g})")
    if found.payload is None:
        return Finding('held', "this key's mark is in it")
    told = f'{found.payload:08x}'
    if declared is not None and declared != told and not found.bit_error:
        return Finding('broken', f'its mark is {told}, but the manifest says {declared}')
    return Finding('held', f"this key's mark, {told}")


def _check_detector(target: Verified) -> Finding:
    if target.detector is None:
        return Finding('unclear', 'name the one to ask: --detector=RUN, a workdir of detect.main')
    if not target.images:
        return Finding('absent', _NO_IMAGE)
    from gan.verdicts import ask_detector

    return ask_detector(target.detector, list(target.sampled.values()), len(target.images))


# What is looked at, in the order of the table. A row more is a layer more.
LAYERS: Mapping[str, Callable[[Verified], Finding]] = {
    'manifest': _check_manifest,
    'signature': _check_signature,
    'timestamp': _check_timestamp,
    'credentials': _check_credentials,
    'dicom_tag': _check_dicom_tag,
    'dicom_signature': _check_dicom_signature,
    'watermark': _check_watermark,
    'detector': _check_detector,
}
# What says something, but proves nothing: anybody can write it, or it may be wrong.
CLAIMS = ('dicom_tag', 'detector')


def _lack(package: str) -> Finding:
    return Finding('unclear', f'cannot be checked without the package {package}: {name_remedy(package)}')


def _read_tag(path: Path) -> Finding:
    """What a file says in SyntheticData (0008,001C)."""
    import pydicom

    try:
        read = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=['SyntheticData'])
        value = str(read.get('SyntheticData', ''))
    except Exception as error:  # a damaged file makes pydicom raise almost anything
        return Finding('unclear', f'it cannot be read ({type(error).__name__})')
    if value == 'YES':
        return Finding('held', 'SyntheticData = YES')
    return Finding('absent', f'SyntheticData = {value!a}' if value else 'SyntheticData is not there')


def _check_dicom_file(path: Path, authority: 'x509.Certificate | None') -> Finding:
    from foundation.signing.dicom_signature import check_dicom_signature

    try:
        if path.stat().st_size > _LARGEST_DICOM:
            return Finding('unclear', f'more than {_LARGEST_DICOM:,} bytes; it was not read')
        return check_dicom_signature(path.read_bytes(), authority)
    except OSError as error:
        return Finding('broken', f'it cannot be read ({error.strerror or error})')
