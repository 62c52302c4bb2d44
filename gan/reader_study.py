"""`python -m gan.reader_study --workdir=DIR --out=STUDY --readers=2` asks people: real or generated?

Serves a page to this machine's browsers; nothing leaves the machine. Each reader has a link, sees one image at a
time and says how sure he or she is. The plan is fixed before the first answer, and every answer is kept at once:
after Ctrl-C, --out=STUDY alone goes on. When all are done, the report is written; --report writes it again.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags

import input_pipeline
from foundation.serving.extra import needing_app
from foundation.training import launch
from foundation.training.errors import UserError
from gan.generation.folder import check_out
from gan.generation.selection import LARGEST_SEED
from gan.generator import TrainedGenerator, check_checkpoint
from gan.reading.cases import RealImages, gather_cases
from gan.reading.plan import PLAN_FILE, check_same, choose_repeats, read_study, write_study
from gan.reading.power import check_cases, difference_power, equivalence_power, needed_cases

_OUT = flags.DEFINE_string('out', None, 'Folder of the study; new, or one to go on with.', required=True)
_READERS = flags.DEFINE_integer('readers', 1, 'People who judge, each all cases.', 1, 100)
_CASES = flags.DEFINE_integer(
    'cases',
    None,
    'Images that each judges, half of them generated; by default what --power needs.',
    4,
    20_000,
)
_REPEATS = flags.DEFINE_integer(
    'repeats', None, 'Of these, images that come twice; an even number, by default a tenth of all.', 0, 10_000
)
_MARGIN = flags.DEFINE_float('margin', 0.1, 'Accuracies within 0.5 +- this are as good as chance.', 0.02, 0.4)
_ALPHA = flags.DEFINE_float('alpha', 0.05, 'Level of all tests.', 0.001, 0.2)
_POWER = flags.DEFINE_float('power', 0.8, 'Chance to find a reader who guesses equivalent to chance.', 0.1, 0.999)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the choice of images and of all orders.', 0, LARGEST_SEED)
_SPLIT = flags.DEFINE_enum('split', 'test', ['test', 'validation'], 'Where real images are from; never training.')
_GENERATED = flags.DEFINE_string('generated', None, 'Folder of gan.generate, PNG; drawn by --workdir by default.')
_BITS = flags.DEFINE_integer(
    'bits', None, 'Grey levels of all images, as a power of 2; by default 8 for 8-bit data, else 12.', 8, 16
)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images drawn at once; rounding may depend on it.', 1, 65_536)
_HOST = flags.DEFINE_string('host', '127.0.0.1', 'Address to listen at; others let other machines in.')
_PORT = flags.DEFINE_integer('port', 8766, 'Port to listen at; 0 takes any that is free.', 0, 65535)
_PLAN_ONLY = flags.DEFINE_bool('plan_only', False, 'Tell how many cases are needed, and make nothing.')
_REPORT = flags.DEFINE_bool('report', False, 'Write the report, and serve nothing.')
_EARLY = flags.DEFINE_bool('early', False, 'With --report, even where answers are missing.')
flags.adopt_module_key_flags(launch)

# What a study was made with, and cannot be changed.
_FIXED = (_READERS, _CASES, _REPEATS, _MARGIN, _ALPHA, _SEED, _BITS, _SPLIT, _GENERATED)


def main(argv: Sequence[str]) -> None:
    """Makes the study where there is none, then serves it or reports on it."""
    launch.reject_arguments(argv)
    out = Path(_OUT.value)
    if _PLAN_ONLY.value:
        cases = _CASES.value or needed_cases(_MARGIN.value, _ALPHA.value, _POWER.value)
        _tell_power(cases, _MARGIN.value, _ALPHA.value)
        return
    server = _import_server()
    if not (out / PLAN_FILE).is_file():
        if _REPORT.value:
            raise UserError(f'{out} holds no study; make one first, without --report.')
        _create(out)
    study = read_study(out)
    wanted = {flag.name: flag.value for flag in _FIXED if flags.FLAGS[flag.name].present}
    if flags.FLAGS['workdir'].present:
        wanted['workdir'] = str(launch.workdir())
    check_same(out, study.plan, wanted)
    if _REPORT.value:
        _write_report(study, server.read_sheets(study), early=_EARLY.value)
        return
    _tell_power(study.plan.cases, study.plan.margin, study.plan.alpha)
    sheets = server.serve_study(study, _HOST.value, _PORT.value)
    missing = sum(len(sheet.order) - len(sheet.answers) for sheet in sheets)
    if missing:
        print(f'{missing} answers are missing; go on with {launch.python()} -m gan.reader_study --out={out}')
    else:
        _write_report(study, sheets, early=False)


def _create(out: Path) -> None:
    """Gathers the cases and fixes the plan."""
    workdir = launch.workdir()
    launch.start_jax_alone('gan.reader_study')
    check_checkpoint(_STEP.value, best=_BEST.value)
    check_out(out)
    trained = TrainedGenerator.load(workdir, _STEP.value, best=_BEST.value)
    real = RealImages.open(trained, _SPLIT.value)
    cases = _CASES.value or needed_cases(_MARGIN.value, _ALPHA.value, _POWER.value)
    check_cases(cases, real.images.num_patients, _MARGIN.value, _ALPHA.value)
    bits = _BITS.value or real.usual_bits
    fields = {
        'cases': cases,
        'repeats': choose_repeats(cases, _REPEATS.value),
        'readers': _READERS.value,
        'seed': _SEED.value,
        'margin': _MARGIN.value,
        'alpha': _ALPHA.value,
        'bits': bits,
    }
    images, truth, sources = gather_cases(
        real,
        cases // 2,
        seed=_SEED.value,
        bits=bits,
        generated=None if _GENERATED.value is None else Path(_GENERATED.value),
        batch_size=_BATCH.value,
    )
    write_study(out, fields, images, truth, {**sources, 'workdir': str(workdir), 'generated': _GENERATED.value})


def _tell_power(cases: int, margin: float, alpha: float) -> None:
    print(
        f'{cases} cases: a reader who guesses is found equivalent to chance (0.5 +- {margin:g}) with a chance of '
        f'{equivalence_power(cases, margin, alpha):.0%}; one who is right in {0.5 + margin:.0%} is found to '
        f'differ from chance with a chance of {difference_power(cases, margin, alpha):.0%}.'
    )


def _write_report(study: Any, sheets: Sequence[Any], *, early: bool) -> None:
    from gan.reading import report  # draws, and so starts slowly

    for sentence in report.write_report(study, sheets, early=early).sentences:
        print(sentence)
    print(f'Page: {study.folder / report.PAGE_FILE}   numbers: {study.folder / report.NUMBERS_FILE}')


def _import_server() -> ModuleType:
    with needing_app():
        from gan.reading import server
    return server


if __name__ == '__main__':
    launch.run_command(main, packages=('gan', 'backbones'), user_errors=(input_pipeline.DataError,))
