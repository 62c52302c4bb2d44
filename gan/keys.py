"""`python -m gan.keys --out=DIR --name="Hospital X"` makes the keys that sign releases: see docs/releasing.md."""

import argparse
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation.signing.moment import read_moment
from foundation.signing.packages import require_package
from foundation.training.errors import UserError
from input_pipeline import command, complete_folder
from input_pipeline.atomic import is_taken
from input_pipeline.flags import Parser, count

_DESCRIPTION = """Makes the keys that sign releases: a pair for manifests (Ed25519), and two with certificates, for
content credentials (EC P-256) and DICOM files (RSA).

The authority that issues both certificates is made for this, and its own key is thrown away. Private keys can be
read by you alone. What is there is never overwritten. Hand out public_key.pem and certificate_authority.pem by a
way that others trust, not beside the images.
"""
_LONGEST = 100  # years


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 1 for bad input, 130 when interrupted.

    Args:
      arguments: flags without the program's name; None for those of the process.
    """
    parser = Parser('gan.keys', _DESCRIPTION, argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--out', type=Path, required=True, metavar='DIR', help='new folder')
    add('--name', required=True, help='of who signs, as certificates and lists tell it')
    add('--years', type=count, default=10, help='that certificates are valid (default 10)')
    add('--passphrase', default='', metavar='env:NAME|file:PATH', help='that private keys are encrypted with')
    options = parser.read(arguments)
    return command.run('gan.keys', functools.partial(_create, options), options.out, user_errors=(UserError,))


def _create(options: argparse.Namespace) -> None:
    require_package('cryptography', 'Making keys')
    from foundation.signing import authority, keys

    authority.check_name(options.name)
    if options.years > _LONGEST:
        raise UserError(f'--years={options.years}: certificates are valid for at most {_LONGEST} years.')
    if is_taken(options.out):
        raise UserError(f'{options.out} exists already, and keys are never overwritten; give --out a new folder.')
    passphrase = keys.read_passphrase(options.passphrase, '--passphrase')
    with complete_folder(options.out.absolute(), overwrite=False) as folder:
        told = keys.write_keys(folder, options.name, read_moment('', ''), options.years, passphrase)
    print(f'Keys of {options.name!r}: {options.out}. Keep them where nobody else can read them.')
    print(f'Public key, SHA-256: {told}')
    print(f'Hand out {options.out / keys.PUBLIC_KEY} and {options.out / keys.AUTHORITY}, apart from the images.')
    flag = (
        f' --passphrase={shlex.quote(options.passphrase)}' if passphrase else ''
    )  # where it is kept, not what it is
    print(f'Next: python -m gan.sign RELEASE --keys={shlex.quote(str(options.out))}{flag}')


if __name__ == '__main__':
    sys.exit(main())
