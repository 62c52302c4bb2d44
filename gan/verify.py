"""`python -m gan.verify PATH [PATH2 ...]` tells which protections images have, and whether these hold.

A PATH is a folder that gan.generate wrote, or any other, or a file from anywhere. What is looked at:

  manifest         the folder holds what its manifest.json says; whoever alters a file can write a new one
  signature        somebody signed that; --key=PUBLIC_KEY says who it must be
  timestamp        an authority stamped the signature (RFC 3161); --time_authority=CERTIFICATE says which
  credentials      C2PA, in PNG, TIFF and JPEG; --authority=CERTIFICATE says who must vouch for its signer
  dicom_tag        DICOM files say SyntheticData = YES; anybody can write that
  dicom_signature  PS3.15, in DICOM files; --authority as above
  watermark        the mark of --watermark=KEYFILE is in the pixels, of 20 images of a folder
  detector         the detector of --detector=RUN takes them for synthetic, 20 of a folder; no proof

It ends with 0 when something holds, nothing is broken, and all that --require names holds.
"""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.export.manifest import UNKNOWN_PATIENTS
from foundation.export.verification import printable
from foundation.signing.findings import Finding, State
from foundation.signing.packages import require_package
from foundation.training.errors import UserError
from gan.protections import CLAIMS, LAYERS, Verified

_WORDS: Mapping[State, str] = {'held': 'held', 'absent': 'absent', 'unclear': 'not checked', 'broken': 'BROKEN'}
# What these layers are worth depends on whom they must come from.
_PINS = {
    'signature': 'key',
    'timestamp': 'time_authority',
    'credentials': 'authority',
    'dicom_signature': 'authority',
    'watermark': 'watermark',
    'detector': 'detector',
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0 when all hold, 1 otherwise.

    Args:
      arguments: without the program's name; None for those of the process.
    """
    options = _parse(arguments)
    try:
        pins = _load_pins(options)
        results = [_verify(Verified(path, **pins), options.require) for path in options.paths]
    except UserError as error:
        print(f'Error: {printable(error)}', file=sys.stderr)
        return 1
    return 0 if all(results) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='verify',
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('paths', metavar='PATH', nargs='+', type=Path, help='a folder, or a file')
    add('--key', type=Path, metavar='PUBLIC_KEY', help='the key that must have signed the manifest, in PEM')
    add('--authority', type=Path, metavar='CERTIFICATE', help='that must have certified who signed files, in PEM')
    add('--time_authority', type=Path, metavar='CERTIFICATE', help='root of who stamped the signature, in PEM')
    add('--watermark', type=Path, metavar='KEYFILE', help='secret key of a watermark to look for')
    add('--detector', type=Path, metavar='RUN', help='workdir of a detector to ask')
    add('--require', type=_layers, default=(), metavar='LAYER,...', help=f'what must hold: {", ".join(LAYERS)}')
    options = parser.parse_args(arguments)
    for layer in options.require:
        pin = _PINS.get(layer)
        if pin and getattr(options, pin) is None:
            parser.error(f'--require={layer} is worth nothing unless --{pin} says whose it must be')
    return options


def _layers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(','))
    unknown = [name for name in names if name not in LAYERS]
    if unknown:
        raise argparse.ArgumentTypeError(f'there is no layer {unknown[0]!a}; there are {", ".join(LAYERS)}')
    return names


def _load_pins(options: argparse.Namespace) -> dict[str, Any]:
    """Whom things must come from, as `Verified` has it."""
    pins: dict[str, Any] = {'mark_key': options.watermark, 'detector': options.detector}
    if options.key or options.authority or options.time_authority:
        require_package('cryptography', 'Checking signatures')
        from foundation.signing.keys import load_certificate, load_public_key

        pins['key'] = load_public_key(options.key) if options.key else None
        for name in ('authority', 'time_authority'):
            path = getattr(options, name)
            pins[name] = load_certificate(path) if path else None
    return pins


def _verify(target: Verified, required: Sequence[str]) -> bool:
    """Looks at all layers and prints what was found; whether that is as it should be."""
    if not target.path.is_dir() and not target.path.is_file():  # a pipe would wait for ever
        print(f'Error: there is no folder and no file {printable(target.path)}.', file=sys.stderr)
        return False
    try:
        findings = {name: check(target) for name, check in LAYERS.items()}
    except OSError as error:
        reason = f'{error.strerror or error} ({error.filename or target.path})'
        print(f'Error: {printable(reason)}', file=sys.stderr)
        return False
    verdict = _judge(findings, required)
    print(f'{printable(target.path)}: {verdict or "whole"}')
    for line in (*_describe(target), *_tabulate(findings)):
        print(f'  {printable(line)}')
    return not verdict


def _judge(findings: Mapping[str, Finding], required: Sequence[str]) -> str:
    """What is wrong, in a few words; '' for nothing."""
    states = {name: finding.state for name, finding in findings.items()}
    if states['manifest'] == 'broken':
        return 'ALTERED'
    broken = [name for name, state in states.items() if state == 'broken']
    if broken:  # altered, or not of whom it must be; the table says which
        return f'BROKEN {", ".join(broken)}'
    missing = [name for name in required if states[name] != 'held']
    if missing:
        return f'LACKS {", ".join(missing)}'
    if not any(state == 'held' for name, state in states.items() if name not in CLAIMS):
        return 'NOTHING HERE CAN BE VERIFIED'
    return ''


def _tabulate(findings: Mapping[str, Finding]) -> list[str]:
    lines = [f'{name:<17} {_WORDS[finding.state]:<12} {finding.detail}' for name, finding in findings.items()]
    return lines + [f'{name}: {fault}' for name, finding in findings.items() for fault in finding.faults]


def _describe(target: Verified) -> list[str]:
    """What the folder is, as its manifest says; nothing where there is none that can be relied on."""
    if not target.path.is_dir() or isinstance(target.check, str):
        return []
    manifest = target.check.manifest
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


if __name__ == '__main__':
    if hasattr(signal, 'SIGPIPE'):  # whoever reads may stop early, as `head` does
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
