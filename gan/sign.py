"""`python -m gan.sign RELEASE --keys=DIR` signs a folder that gan.generate or gan.translate wrote."""

import argparse
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.export.manifest import SIGNATURE_FILES, SIGNATURE_FOLDER, TIMESTAMP_FILE
from foundation.export.verification import read_whole
from foundation.signing.moment import read_moment, write_moment
from foundation.signing.packages import require_package
from foundation.training.errors import UserError
from gan.generation.signatures import sign_copy, sign_release
from input_pipeline import command
from input_pipeline.atomic import is_taken
from input_pipeline.flags import Parser

_DESCRIPTION = """Signs a release: its manifest, and with --out also each image in it.

  sign RELEASE --keys=DIR              adds the folder `signature`; no file of the release changes
  sign RELEASE --keys=DIR --out=NEW    writes a copy with a signed manifest of its own: pictures hold content
                                       credentials (C2PA), and DICOM files digital signatures (PS3.15)
  ... --time_authority=URL             then asks an authority (RFC 3161) to stamp the signature, so that somebody
                                       else vouches for the time; alone, it stamps a folder that is signed already

Without --time the signature states the time of the clock. With it the same command gives the same signature; of
credentials alone no two are the same.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 1 for bad input, 130 when interrupted.

    Args:
      arguments: flags without the program's name; None for those of the process.
    """
    parser = Parser('gan.sign', _DESCRIPTION, argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('release', type=Path, metavar='RELEASE', help='a folder with a manifest.json')
    add('--keys', type=Path, metavar='DIR', help='that gan.keys made')
    add('--passphrase', default='', metavar='env:NAME|file:PATH', help='that private keys are encrypted with')
    add('--out', type=Path, metavar='NEW', help='new folder, for a copy whose images are signed, too')
    add('--time', default='', help='to be stated, like 2026-11-28T12:00:00Z; that of the clock by default')
    add('--time_authority', default='', metavar='URL', help='of who shall stamp the signature; asked over the web')
    options = parser.read(arguments)
    place = options.out or options.release / SIGNATURE_FOLDER
    return command.run('gan.sign', functools.partial(_run, options), place, user_errors=(UserError,))


def _run(options: argparse.Namespace) -> None:
    """Signs, or has stamped what is signed, or both: what is signed stays where the authority cannot be asked."""
    address, signed = options.time_authority, options.out or options.release
    if address:
        require_package('rfc3161_client', 'Asking for a time stamp')
        from foundation.signing.timestamp import check_address

        check_address(address, '--time_authority')
    if options.keys is not None:
        _sign(options)
    elif not address:
        raise UserError('give --keys to sign, or --time_authority to have a signature stamped.')
    elif options.out is not None:
        raise UserError('--out is for a copy that is signed; it needs --keys.')
    if address:
        try:
            _stamp(signed, address)
        except UserError as error:
            if options.keys is None:
                raise
            raise UserError(f'{signed} is signed, but not stamped: {error} Then leave out --keys.') from error
    required, pins = ['manifest', 'signature'], '--key=PUBLIC_KEY'
    if address:
        required.append('timestamp')
        pins += ' --time_authority=CERTIFICATE'
    print(f'Next: python -m gan.verify {shlex.quote(str(signed))} {pins} --require={",".join(required)}')


def _stamp(signed: Path, address: str) -> None:
    """Raises UserError for a folder that is not signed, or stamped already; else see `write_timestamp`."""
    from foundation.signing.timestamp import write_timestamp

    if not all((signed / name).is_file() for name in SIGNATURE_FILES):
        raise UserError(f'{signed} is not signed, so that there is nothing to stamp; give --keys, too.')
    if is_taken(signed / TIMESTAMP_FILE):
        raise UserError(f'{signed} is stamped already; remove its {TIMESTAMP_FILE} to have it stamped anew.')
    print(
        f'The signature of {signed} is stamped: {write_moment(write_timestamp(signed, address))}, says {address}.'
    )


def _sign(options: argparse.Namespace) -> None:
    require_package('cryptography', 'Signing')
    from foundation.signing.keys import fingerprint, load_keys, read_passphrase

    release, out = options.release, options.out
    if out is not None and is_taken(out):
        raise UserError(f'{out} exists already; give --out a new folder.')
    time = read_moment(options.time, '--time')
    keys = load_keys(options.keys, read_passphrase(options.passphrase, '--passphrase'))
    manifest = _read_unsigned(release)
    if out is None:
        sign_release(release, manifest, keys, time)
        print(f'{release} is signed by {keys.name!r}.')
    else:
        count = sign_copy(release, manifest, out, keys, time)
        print(f'{out} is signed by {keys.name!r}, and so are {count} of its files.')
    print(f'Public key, SHA-256: {fingerprint(keys.release.public_key())}')


def _read_unsigned(release: Path) -> dict[str, Any]:
    """The manifest of a release that is as it was written, and that nobody signed."""
    if not release.is_dir():
        raise UserError(f'{release} is no folder; name one that gan.generate wrote.')
    manifest = read_whole(release)
    if manifest is None:
        raise UserError(f'{release} holds no manifest.json of ours; name a folder that gan.generate wrote.')
    if (release / SIGNATURE_FOLDER).exists():
        raise UserError(
            f'{release} is signed already; sign a folder that was not, or remove its {SIGNATURE_FOLDER}.'
        )
    return manifest


if __name__ == '__main__':
    sys.exit(main())
