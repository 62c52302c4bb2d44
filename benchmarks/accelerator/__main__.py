"""Turns ten minutes of an accelerator into proof: is it correct, how fast is it, and what does it learn?

    python -m benchmarks.accelerator --minutes=8 --out=DIR [--data=NAME] [--profile=proof|study]

Everything comes as rows (`rows.jsonl`) and tables (`tables.md`) in DIR, each written when it is measured; a run
that is killed leaves what it has. Started again with the same DIR, it adds what was left out. DIR also gets a
sheet of all pictures, and in DIR/generator the weights of one generator, from which `python -m gan.generate
--workdir=DIR/generator` draws on any machine. DIR holds at most 8 files of at most 15 MiB. `--rehearse` runs every
part at toy size, on any machine.
"""

import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from benchmarks.accelerator import ledger, plan
from benchmarks.accelerator.supervisor import Run, run_all

_MINUTES = flags.DEFINE_float('minutes', 8.0, 'For everything.', 1.0, 24 * 60.0)
_OUT = flags.DEFINE_string('out', None, 'Folder of the results; an earlier one is added to.', required=True)
_PROFILE = flags.DEFINE_enum('profile', 'proof', sorted(plan.PROFILES), 'What to find out.')
_PARTS = flags.DEFINE_list('parts', None, 'Only these parts; all by default.')
_DATA = flags.DEFINE_string('data', '', 'A prepared data set; phantoms are drawn without one.')
_DATA_DIR = flags.DEFINE_string('data_dir', '', "Folder of all sets; '' for $TFDS_DATA_DIR.")
_REHEARSE = flags.DEFINE_bool('rehearse', False, 'Toy sizes, to see whether everything runs.')


def main(argv: Sequence[str]) -> None:
    """Runs the profile, and says where its results are."""
    known = plan.PROFILES[_PROFILE.value]
    unknown = sorted(set(_PARTS.value or ()) - set(known))
    if unknown:
        sys.exit(f'Error: --parts: there is no part {", ".join(unknown)}; choose from {", ".join(known)}.')
    if len(argv) > 1:
        sys.exit(f'Error: {argv[1]!r} is not a flag; did you mean --{argv[1].lstrip("-")}?')
    _check_data()
    _check_out(Path(_OUT.value))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('Stopped; what was measured is kept.'))
    out = Path(_OUT.value)
    with tempfile.TemporaryDirectory(prefix='accelerator-', ignore_cleanup_errors=True) as scratch:
        try:
            well = run_all(
                Run(
                    profile=_PROFILE.value,
                    parts=tuple(name for name in known if not _PARTS.value or name in _PARTS.value),
                    minutes=_MINUTES.value,
                    out=out,
                    scratch=Path(scratch),
                    data=_DATA.value,
                    data_dir=_DATA_DIR.value,
                    rehearse=_REHEARSE.value,
                )
            )
        except KeyboardInterrupt:
            sys.exit('Interrupted; what was measured is kept.')
    print(f'Tables: {out / ledger.TABLES_FILE}   rows: {out / ledger.ROWS_FILE}')
    if not well:
        sys.exit('Some tasks failed or took too long; the tables tell which and why.')


def _check_data() -> None:
    """Ends with one sentence when the data set is not there."""
    if not _DATA.value:
        return
    import input_pipeline

    folder = input_pipeline.find_data_dir(_DATA_DIR.value)
    try:
        input_pipeline.count_images(_DATA.value, folder, 'train')
    except input_pipeline.DataError as error:
        sys.exit(f'Error: {error}')


def _check_out(out: Path) -> None:
    """Ends with one sentence when the results cannot be written there, or somebody else's are there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        sys.exit(f'Error: --out={out}: {error.strerror}; name a folder that can be written to.')
    if (out / ledger.TABLES_FILE).exists() and not (out / ledger.ROWS_FILE).exists():
        sys.exit(f'Error: --out={out} holds a {ledger.TABLES_FILE} of something else; name another folder.')


if __name__ == '__main__':
    app.run(main)
