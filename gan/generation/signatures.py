"""Signing what is written: a release as a whole, a copy of it file by file, and files as they are encoded."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tqdm

from foundation.export.folder import ImageEncoder, Mask, Stored
from foundation.export.manifest import DERIVED, SIGNATURE_FOLDER, describe_content, read_manifest, write_manifest
from foundation.signing.packages import require_package
from foundation.training.errors import UserError
from input_pipeline import complete_folder

if TYPE_CHECKING:  # their packages are loaded only where something is signed
    from foundation.signing.credentials import Source
    from foundation.signing.files import FileSigner
    from foundation.signing.keys import SigningKeys


@dataclasses.dataclass(frozen=True)
class SigningRequest:
    """How a release is signed as it is written.

    Attributes:
      keys: of the signer.
      time: as the signer states it, in UTC.
      credentials: whether pictures get content credentials.
    """

    keys: 'SigningKeys'
    time: datetime
    credentials: bool

    def create_signer(self) -> 'FileSigner':
        """What signs single files.

        Raises:
          UserError: when a package is missing, or the keys do not fit.
        """
        from foundation.signing.files import FileSigner

        return FileSigner(self.keys, self.time, 'trainedAlgorithmicMedia' if self.credentials else None)


def load_request(keys: Path, passphrase: str, time: str, *, credentials: bool) -> SigningRequest:
    """The request of the flags --sign, --sign_passphrase, --sign_time and --credentials.

    Raises:
      UserError: for keys that cannot be used, a time of another form, or a package that is missing.
    """
    require_package('cryptography', 'Signing')
    from foundation.signing.keys import load_keys, read_passphrase
    from foundation.signing.moment import read_moment

    loaded = load_keys(keys, read_passphrase(passphrase, '--sign_passphrase'))
    request = SigningRequest(loaded, read_moment(time, '--sign_time'), credentials)
    request.create_signer()  # what cannot sign tells so before images are drawn
    return request


class SignedEncoder:
    """Encodes images as another encoder does, and signs what can hold a signature.

    Args:
      encoder: knows the format.
      signer: of files.
    """

    def __init__(self, encoder: ImageEncoder, signer: 'FileSigner') -> None:
        self._encoder, self._signer = encoder, signer

    def image(self, stored: Stored, label: str, number: int) -> tuple[str, bytes]:
        """See `ImageEncoder`."""
        ending, content = self._encoder.image(stored, label, number)
        return ending, self._signer.sign(ending, content)

    def mask(self, mask: Mask) -> tuple[str, bytes]:
        """See `ImageEncoder`."""
        ending, content = self._encoder.mask(mask)
        return ending, self._signer.sign(ending, content)


def sign_release(release: Path, manifest: Mapping[str, Any], keys: 'SigningKeys', time: datetime) -> None:
    """Adds the folder of a signature, whole or not at all.

    Args:
      release: whole.
      manifest: its own.
      keys: of the signer.
      time: as he states it, in UTC.

    Raises:
      UserError: see `checklist.write_signature`.
      DataError: when there is one already.
    """
    from foundation.signing.checklist import write_signature

    with complete_folder(release.absolute() / SIGNATURE_FOLDER, overwrite=False) as target:
        write_signature(target, release, manifest, keys, time)


def sign_copy(release: Path, manifest: Mapping[str, Any], out: Path, keys: 'SigningKeys', time: datetime) -> int:
    """Writes a copy of a release whose images are signed, with a manifest of its own that is signed, too.

    Args:
      release: whole, and not signed.
      manifest: its own.
      out: new folder.
      keys: of the signer.
      time: as he states it, in UTC.

    Returns:
      How many files were signed.

    Raises:
      UserError: for a file that cannot be signed, and when a package is missing.
      DataError: when `out` holds something.
    """
    from foundation.signing.files import FileSigner

    if out.absolute().is_relative_to(release.absolute()):
        raise UserError(f'{out} lies in the folder that is signed; give --out a place outside.')
    source: Source = 'trainedAlgorithmicMedia'
    if manifest['synthetic'] == DERIVED:
        source = 'compositeWithTrainedAlgorithmicMedia'
    signer, count = FileSigner(keys, time, source), 0
    with complete_folder(out.absolute(), overwrite=False) as folder:
        for entry in tqdm.tqdm(manifest['files'], unit=' files'):
            content = (release / entry['name']).read_bytes()
            signed = signer.sign(entry['name'], content)
            count += signed != content
            target = folder / entry['name']
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(signed)
        write_manifest(folder, describe_content(manifest))
        sign_release(folder, read_manifest(folder), keys, time)
    return count
