"""`python -m gan.verify DIR [DIR2 ...]` checks folders that gan.generate wrote against their manifests.

It finds files that were altered, are missing or were added since. It is no digital signature: whoever alters a
file and writes a new manifest to match is not found; for that, compare the manifest's checksum with the source's.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation.export.manifest import UNKNOWN_PATIENTS
from foundation.export.verification import Check, check_folder, printable
from foundation.training.errors import UserError

_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0 when all folders are whole, 1 otherwise.

    Args:
      arguments: without the program's name; None for those of the process.
    """
    parser = argparse.ArgumentParser(
        prog='verify',
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('folders', metavar='DIR', nargs='+', type=Path, help='a folder with a manifest.json')
    results = [_verify(folder) for folder in parser.parse_args(arguments).folders]
    return 0 if all(results) else 1


def _verify(folder: Path) -> bool:
    """Checks one folder and prints what was found; whether it is whole."""
    try:
        check = check_folder(folder, shown=_SHOWN)
    except UserError as error:
        print(f'Error: {printable(error)}', file=sys.stderr)
        return False
    except OSError as error:
        reason = f'{error.strerror or error} ({error.filename or folder})'
        print(f'Error: {printable(reason)}', file=sys.stderr)
        return False
    print(f'{printable(folder)}: {"whole" if check.is_whole else "ALTERED"}')
    for line in (*_describe(check), *_list_faults(check)):
        print(f'  {printable(line)}')
    return check.is_whole


def _describe(check: Check) -> list[str]:
    """What the folder is, as its manifest says."""
    manifest = check.manifest
    software, model, data = (manifest[part] for part in ('software', 'model', 'data'))
    verdict = manifest['release']['verdict']
    patients = f'{data["patients"]} patients' if data['patients_known'] else UNKNOWN_PATIENTS
    advice = '' if verdict == 'pass' else '; do not share these images as safe'
    kind = 'synthetic images' if manifest['synthetic'] == 'yes' else f'images {manifest["synthetic"]}'
    return [
        f'images    {manifest["count"]} {kind} ({manifest["format"]}), licence: '
        f'{manifest["licence"] or "not stated"}',
        f'made by   {software["name"]} {software["version"]}, seed {manifest["seed"]}'
        + (f', {manifest["date"]}' if manifest['date'] else ''),
        f'model     weights {model["weights_sha256"][:16]}, config {model["config_sha256"][:16]}, '
        f'{model["images_seen"]} images seen',
        f'data      {data["name"]}: {data["images"]} images, {patients}, licence: '
        f'{data["licence"] or "not stated"}',
        f'gate      {verdict}{advice}',
        f'files     {len(manifest["files"])}, manifest checksum {manifest["manifest_sha256"]}',
    ]


def _list_faults(check: Check) -> list[str]:
    lines = []
    for kind, names in check.faults.items():
        lines += [f'{kind}: {name}' for name in names]
        if check.counts[kind] > len(names):
            lines.append(f'{kind}: ... and {check.counts[kind] - len(names)} more')
    return lines


if __name__ == '__main__':
    if hasattr(signal, 'SIGPIPE'):  # whoever reads may stop early, as `head` does
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
