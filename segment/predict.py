"""`python -m segment.predict --workdir=DIR --out=DIR2 PATH...` segments pictures, DICOM series and volumes.

Paths are files, or folders of them. DIR2/masks holds masks in the geometry of their images, DIR2/overlays sheets
to look at, DIR2/predictions.json what became of every file. A file that cannot be read is told and passed over;
the exit code is then 1. Masks are drawn by a network: they are no diagnosis.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

import input_pipeline
from foundation.training import launch
from foundation.training.errors import UserError
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import PIXEL_LIMIT, ReaderOptions
from segment.ensemble import SegmenterEnsemble
from segment.formats.files import FORMATS
from segment.formats.predictions import TABLE_FILE, SegmentationRequest, answer_all, check_out, look_first
from segment.parts import describe_parts

_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_FORMAT = flags.DEFINE_enum(
    'format', 'auto', FORMATS, 'Of the masks; auto: as the images (NIfTI, NRRD, MetaImage, DICOM SEG, PNG).'
)
_OVERLAYS = flags.DEFINE_bool('overlays', True, 'Draw contours over the slices with most foreground.')
_ENSEMBLE = flags.DEFINE_list('ensemble', [], 'More runs: probabilities are averaged with those of --workdir.')
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use.')
_BEST = flags.DEFINE_bool(
    'best', True, 'Without --step: the checkpoint that was best on the validation split, not the newest.'
)
_ALL_PARTS = flags.DEFINE_bool(
    'all_parts',
    False,
    'Keep all parts of masks, also where the largest alone was better in validation.',
)
_MIRROR = flags.DEFINE_bool('mirror', False, 'Average over mirrored copies: slower, often a little better.')
_AXIS = flags.DEFINE_integer('axis', 2, 'Volumes are cut along it, as for input_pipeline.prepare.', 0, 2)
_PERCENTILES = flags.DEFINE_list('percentiles', ['0.5', '99.5'], 'Of intensities, as for input_pipeline.prepare.')
_PIXEL_LIMIT = flags.DEFINE_integer(
    'pixel_limit',
    PIXEL_LIMIT,
    'Pictures of more pixels, and volumes of more than four times as many voxels, are refused before decoding.',
    1,
)

flags.adopt_module_key_flags(launch)
# Flags that decide the masks and how they are written.
_COMMAND = (_FORMAT, _ENSEMBLE, _STEP, _BEST, _MIRROR, _ALL_PARTS, _AXIS, _PERCENTILES)
_SHOWN = 20


def main(argv: Sequence[str]) -> None:
    """Restores the network and answers every path."""
    # Unlike other commands, this one takes arguments that are no flags.
    paths, workdir, out = [Path(path) for path in argv[1:]], launch.workdir(), Path(_OUT.value)
    if not paths:
        raise UserError('no image is named; put files or folders behind the flags.')
    launch.start_jax()
    if jax.process_count() > 1:
        raise UserError('segment.predict runs on one process; leave --distributed and --coordinator out.')
    check_out(out)
    segmenter = SegmenterEnsemble.load(
        [workdir, *map(Path, _ENSEMBLE.value)],
        _STEP.value,
        best=_BEST.value and _STEP.value is None,
        mirror=_MIRROR.value,
        all_parts=_ALL_PARTS.value,
    )
    refusals = Refusals(skip=True)
    found = find_incoming(paths, _reader_options(), refusals)
    for sentence in refusals.notes:
        print(f'Note: {sentence}')
    if not found:
        refusals.print_first(_SHOWN)
        raise UserError(
            'nothing that is named can be segmented; name pictures, DICOM files or volumes, or folders of them.'
        )
    told = len(refusals.notes)
    rows = answer_all(found, segmenter.segment, _create_request(out, workdir, segmenter), refusals)
    for sentence in refusals.notes[told:]:
        print(f'Note: {sentence}')
    print(f'{len(rows)} of {len(found)} cases segmented: {out / "masks"}   table: {out / TABLE_FILE}')
    for line in [*describe_parts(segmenter.one_part_classes), *look_first(rows)]:
        print(line)
    if rows and _OVERLAYS.value:
        print(f'Next: look at {out / "overlays"} before you use the masks; they are no diagnosis.')
    refusals.print_first(_SHOWN)
    if refusals.reasons:
        raise UserError(
            f'{len(refusals.reasons)} of the files could not be segmented; {out / TABLE_FILE} tells why.'
        )


def _create_request(out: Path, workdir: Path, segmenter: SegmenterEnsemble) -> SegmentationRequest:
    """What is written, and what decides it beside the weights; which parts go is decided in the runs."""
    decided = {'workdir': str(workdir), 'largest_part_alone': list(segmenter.one_part_classes)}
    return SegmentationRequest(
        out=out,
        mask_format=_FORMAT.value,
        overlays=_OVERLAYS.value,
        classes=segmenter.classes,
        checksum=segmenter.checksum,
        command=decided | {flag.name: flag.value for flag in _COMMAND},
        note_on=segmenter.note_on,
    )


def _reader_options() -> ReaderOptions:
    """Raises UserError when --percentiles is no pair."""
    try:
        low, high = map(float, _PERCENTILES.value)
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high <= 100:
        raise UserError(f'--percentiles={",".join(_PERCENTILES.value)} is no pair like 0.5,99.5.')
    return ReaderOptions(
        modality='', percentiles=(low, high), pixel_limit=_PIXEL_LIMIT.value, axis=_AXIS.value, patient_pattern=''
    )


if __name__ == '__main__':
    launch.run_command(
        main, packages=('segment', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
