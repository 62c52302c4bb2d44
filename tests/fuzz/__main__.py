"""Damages files of every kind, a million times if asked, and tells what readers do not survive.

    python -m tests.fuzz [--only=png,dicom] [--count=1000000] [--first=0] [--seconds=30] [--mebibytes=2048]

Every damaged file is read in a process that is watched: it may neither end, nor take longer, nor grow larger above
what it has at rest. A finding is printed with its number; `--only=KIND --first=NUMBER --count=1` repeats it, and
leaves the file in the folder named by `--keep`.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS, Case
from tests.fuzz.watch import watch


def main() -> int:
    """Runs the command; returns 1 where something was found."""
    parser = argparse.ArgumentParser(
        prog='tests.fuzz', description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('--only', default=','.join(TARGETS), help='kinds of files, with commas between them')
    parser.add_argument('--count', type=int, default=10_000, help='damaged files of each kind')
    parser.add_argument('--first', type=int, default=0, help='number of the first')
    parser.add_argument('--seconds', type=float, default=30, help='that a file may take')
    parser.add_argument('--mebibytes', type=int, default=2048, help='that the process may grow by')
    parser.add_argument('--keep', type=Path, help='folder for the damaged files that were found')
    flags = parser.parse_args()
    found = 0
    for name in flags.only.split(','):
        started, findings = time.monotonic(), []
        counts: dict[str, int] = {}
        for number, outcome in watch(
            TARGETS[name], range(flags.first, flags.first + flags.count), flags.seconds, flags.mebibytes
        ):
            counts[outcome.kind] = counts.get(outcome.kind, 0) + 1
            if not outcome.is_caught:
                findings.append((number, outcome))
                print(f'{name} {number}: {outcome.kind}: {outcome.text}', flush=True)
                if flags.keep:
                    _keep(name, number, flags.keep)
        shown = ', '.join(f'{kind} {count}' for kind, count in sorted(counts.items()))
        print(f'{name}: {shown}; {len(findings)} findings, {time.monotonic() - started:.0f} s', flush=True)
        found += len(findings)
    return 1 if found else 0


def _keep(name: str, number: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        path = Case(TARGETS[name], Path(scratch)).create(number)
        shutil.copy(path, folder / f'{name}-{number}{"".join(path.suffixes)}')


if __name__ == '__main__':
    sys.exit(main())
