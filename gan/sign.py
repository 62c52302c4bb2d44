"""`python -m gan.sign RELEASE --keys=DIR` signs a folder that gan.generate or gan.translate wrote."""

import argparse
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.export.manifest import SIGNATURE_FOLDER
from foundation.export.verification import read_whole
from foundation.signing.moment import read_moment
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
    add('--keys', type=Path, required=True, metavar='DIR', help='that gan.keys made')
    add('--passphrase', default='', metavar='env:NAME|file:PATH', help='that private keys are encrypted with')
    add('--out', type=Path, metavar='NEW', help='new folder, for a copy whose images are signed, too')
    add('--time', default='', help='to be stated, like 2026-11-28T12:00:00Z; that of the clock by default')
    options = parser.read(arguments)
    place = options.out or options.release / SIGNATURE_FOLDER
    return command.run('gan.sign', functools.partial(_sign, options), place, user_errors=(UserError,))


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
    place = shlex.quote(str(out or release))
    print(f'Next: python -m gan.verify {place} --key=PUBLIC_KEY --require=manifest,signature')


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
