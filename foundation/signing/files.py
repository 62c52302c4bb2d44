"""Signatures in single files: content credentials in pictures, digital signatures in DICOM files."""

from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

from foundation.signing.dicom_signature import sign_dicom
from foundation.signing.keys import SigningKeys
from foundation.signing.packages import require_package
from foundation.training.errors import UserError

if TYPE_CHECKING:  # its package is loaded only where it is needed
    from foundation.signing.credentials import Source

PICTURES = {
    '.png': 'image/png', '.tif': 'image/tiff', '.tiff': 'image/tiff', '.jpg': 'image/jpeg', '.jpeg': 'image/jpeg',
}  # fmt: skip
DICOM = ('.dcm',)


class FileSigner:
    """Signs what can hold a signature, and leaves other files as they are.

    Args:
      keys: of the signer.
      time: as he states it, in UTC.
      source: see `credentials.CredentialEmbedder`; None leaves pictures without credentials.

    Raises:
      UserError: when a package is missing, or keys do not fit.
    """

    def __init__(self, keys: SigningKeys, time: datetime, source: 'Source | None') -> None:
        keys.check_time(time)
        self._keys, self._time, self._embedder = keys, time, None
        if source is not None:
            require_package('c2pa', 'Writing content credentials')
            from foundation.signing.credentials import CredentialEmbedder

            self._embedder = CredentialEmbedder(keys.credentials, keys.authority, time, source)

    def sign(self, name: str, content: bytes) -> bytes:
        """The content of a file with a signature, or as it is.

        Args:
          name: of the file, or its ending alone.
          content: of it.

        Raises:
          UserError: for a file that cannot be signed, or is signed.
        """
        ending = PurePath(f'x{name}' if name.startswith('.') else name).suffix.lower()
        try:
            if ending in DICOM:
                return sign_dicom(content, self._keys.dicom, self._time)
            if ending in PICTURES and self._embedder is not None:
                return self._embedder.embed(PICTURES[ending], content)
        except UserError as error:
            raise UserError(f'{name}: {error}') from error
        return content
