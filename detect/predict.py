"""`python -m detect.predict --workdir=DIR PATH...` tells if pictures, DICOM series and volumes are synthetic.

Paths are files, or folders of them. One line of JSON for each goes to the standard output, or to --out; a file
that cannot be read gets a line with the error, the others are answered, and the exit code is then 1. A detector
gives odds, no proof; what a file declares of itself is told apart from them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

import input_pipeline
from detect.judge import open_judge
from detect.predictions import PredictionRequest, answer_all
from foundation.training import compute, launch
from foundation.training.errors import UserError
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import PIXEL_LIMIT, reader_options

_OUT = flags.DEFINE_string('out', '', 'File for the lines; the standard output without it.')
_STACK = flags.DEFINE_string('stack', '', 'Workdir of a stack detector, which judges volumes as a whole.')
_OVERLAYS = flags.DEFINE_string('overlays', '', 'New folder for pictures of where images are strange.')
_AUDIT = flags.DEFINE_string('audit', '', 'File that gets a line for every answer: when, what, which model.')
_PREVALENCE = flags.DEFINE_float('prevalence', None, 'Share of synthetic images that you expect, like 0.001.')
_ERROR_LEVEL = flags.DEFINE_float(
    'error_level', 0.05, 'Share of real images that may be called synthetic, and of synthetic ones called real.'
)
_AXIS = flags.DEFINE_integer('axis', 2, 'Volumes are cut along it, as for input_pipeline.prepare.', 0, 2)
_PIXEL_LIMIT = flags.DEFINE_integer(
    'pixel_limit',
    PIXEL_LIMIT,
    'Pictures of more pixels, and volumes of more than four times as many voxels, are refused before decoding.',
    1,
)

flags.adopt_module_key_flags(launch)
# Flags that decide the answers.
_COMMAND = (_STACK, _PREVALENCE, _ERROR_LEVEL, _AXIS, _PIXEL_LIMIT)


def main(argv: Sequence[str]) -> None:
    """Restores the detector and answers every path."""
    # Unlike other commands, this one takes arguments that are no flags.
    paths = [Path(path) for path in argv[1:]]
    if not paths:
        raise UserError('no image is named; put files or folders behind the flags.')
    launch.start_jax()
    if jax.process_count() > 1:
        raise UserError('detect.predict runs on one process; leave --distributed and --coordinator out.')
    order = _read_request()
    order.check()
    judge = open_judge(
        launch.workdir(),
        error_level=_ERROR_LEVEL.value,
        prevalence=_PREVALENCE.value,
        batch_size=1 if compute.on_cpu() else 32,  # CPUs gain nothing by more
        stack=Path(_STACK.value) if _STACK.value else None,
    )
    refusals = Refusals(skip=True)
    found = find_incoming(paths, reader_options(_AXIS.value, _PIXEL_LIMIT.value), refusals)
    for sentence in refusals.notes:
        print(f'Note: {sentence}', file=sys.stderr)
    if not found and not refusals.reasons:
        raise UserError(
            'nothing that is named holds an image; name pictures, DICOM files or volumes, or folders of them.'
        )
    told = len(refusals.notes)
    answered = answer_all(found, judge, order, refusals)
    for sentence in refusals.notes[told:]:
        print(f'Note: {sentence}', file=sys.stderr)
    print(f'{answered} of {answered + len(refusals.reasons)} answered.', file=sys.stderr)
    if refusals.reasons:
        raise UserError(f'{len(refusals.reasons)} could not be answered; their lines tell why.')


def _read_request() -> PredictionRequest:
    return PredictionRequest(
        out=Path(_OUT.value) if _OUT.value else None,
        overlays=Path(_OVERLAYS.value) if _OVERLAYS.value else None,
        audit=Path(_AUDIT.value) if _AUDIT.value else None,
        command={flag.name: flag.value for flag in _COMMAND} | {'workdir': str(launch.workdir())},
    )


if __name__ == '__main__':
    launch.run_command(
        main, packages=('detect', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
