"""`python -m gan.translate --workdir=DIR --out=DIR2 PATH...` turns images of one kind into images of another.

Paths are pictures, DICOM series, NIfTI, NRRD and MetaImage volumes, or folders of them. DIR2/images holds an image
for each, in its geometry, in the units of the images that the run in DIR was trained to draw; DIR2/manifest.json
tells what they are: derived from patient data, and never safe to share. A file that cannot be read is told and
passed over; the exit code is then 1. A network draws them: lesions may be invented or lost. They are for no
diagnosis.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

import input_pipeline
from foundation.export.manifest import DERIVED
from foundation.training import launch
from foundation.training.errors import UserError
from gan.generator import check_checkpoint
from gan.translation.folder import translate_all
from gan.translation.translator import Translator
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import PIXEL_LIMIT, reader_options

_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint whose translated images were nearest to the target.')
_TO = flags.DEFINE_string('to', None, 'Class to translate to, of a run of stargan.')
_AXIS = flags.DEFINE_integer('axis', 2, 'Volumes are cut along it, as for input_pipeline.prepare.', 0, 2)
_PIXEL_LIMIT = flags.DEFINE_integer(
    'pixel_limit',
    PIXEL_LIMIT,
    'Pictures of more pixels, and volumes of more than four times as many voxels, are refused before decoding.',
    1,
)
flags.adopt_module_key_flags(launch)
_COMMAND = (_STEP, _BEST, _TO, _AXIS)  # flags that decide the images
_SHOWN = 20


def main(argv: Sequence[str]) -> None:
    """Restores the network and translates every path."""
    # Unlike other commands, this one takes arguments that are no flags.
    paths, workdir, out = [Path(path) for path in argv[1:]], launch.workdir(), Path(_OUT.value)
    if not paths:
        raise UserError('no image is named; put files or folders behind the flags.')
    check_checkpoint(_STEP.value, best=_BEST.value)
    launch.start_jax()
    if jax.process_count() > 1:
        raise UserError('gan.translate runs on one process; leave --distributed and --coordinator out.')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f'{out} exists already; give --out a new folder.')
    refusals = Refusals(skip=True)
    translator = Translator.load(workdir, _STEP.value, best=_BEST.value, to=_TO.value)
    options = reader_options(_AXIS.value, _PIXEL_LIMIT.value)
    found = find_incoming(paths, options, refusals)
    if not found:
        _print(refusals)
        raise UserError(
            'nothing that is named can be translated; name pictures, DICOM files, volumes, or folders.'
        )
    command = {'workdir': str(workdir)} | {flag.name: flag.value for flag in _COMMAND}
    rows = translate_all(found, translator, out, command, refusals)
    print(f'{len(rows)} of {len(found)} cases translated: {out / "images"}')
    print(f'They are {DERIVED}: treat them as you treat their sources.')
    print('They are for no diagnosis: lesions may have been invented or lost.')
    _print(refusals)
    if refusals.reasons:
        raise UserError(f'{len(refusals.reasons)} of the files could not be translated; the manifest tells why.')


def _print(refusals: Refusals) -> None:
    """What was noted and refused, the first of them."""
    for sentence in refusals.notes:
        print(f'Note: {sentence}')
    refusals.print_first(_SHOWN)


if __name__ == '__main__':
    launch.run_command(
        main, packages=('gan', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
