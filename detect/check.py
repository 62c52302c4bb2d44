"""`python -m detect.check --workdir=DIR --real=FOLDER` tells how often a detector errs on your own real images.

All in the folder is known to be real. False alarms and don't-knows are counted with 95% intervals over patients,
by modality and scanner where headers tell, beside the level that was promised. Files are read as detect.predict
reads them. Writes DIR/check, or --out: report.html and report.json, which name no file and no patient.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

import input_pipeline
from detect.evaluation.real_images import check_cases, list_rows, print_check, report_check, write_check
from detect.judge import open_judge
from foundation.training import compute, launch
from foundation.training.errors import UserError
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import PIXEL_LIMIT, reader_options

_REAL = flags.DEFINE_multi_string('real', [], 'Folder of real images, or a file; may be given several times.')
_OUT = flags.DEFINE_string('out', '', 'New folder to write to; WORKDIR/check by default.')
_OVERWRITE = flags.DEFINE_bool('overwrite', False, 'Replace the folder.')
_PATIENT_PATTERN = flags.DEFINE_string(
    'patient_pattern',
    '',
    'Regular expression whose first group is the patient, in paths of pictures and volumes.',
)
_ERROR_LEVEL = flags.DEFINE_float('error_level', 0.05, 'Share of real images that may be called synthetic.')
_AXIS = flags.DEFINE_integer('axis', 2, 'Volumes are cut along it, as for detect.predict.', 0, 2)
_PIXEL_LIMIT = flags.DEFINE_integer('pixel_limit', PIXEL_LIMIT, 'As for detect.predict.', 1)
flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Judges all real images, counts, and tells."""
    launch.reject_arguments(argv)
    if not _REAL.value:
        raise UserError('no real image is named; give --real=FOLDER.')
    launch.start_jax_alone('detect.check')
    judge = open_judge(
        launch.workdir(),
        error_level=_ERROR_LEVEL.value,
        prevalence=None,
        batch_size=1 if compute.on_cpu() else 32,  # CPUs gain nothing by more
    )
    out = Path(_OUT.value) if _OUT.value else launch.workdir() / 'check'
    refusals = Refusals(skip=True)
    with input_pipeline.complete_folder(out.absolute(), _OVERWRITE.value) as folder:
        reading = dataclasses.replace(
            reader_options(_AXIS.value, _PIXEL_LIMIT.value), patient_pattern=_PATIENT_PATTERN.value
        )
        found = find_incoming([Path(path) for path in _REAL.value], reading, refusals)
        checked = check_cases(found, judge, refusals)
        for source, reason in refusals.reasons.items():
            print(f'{source}: {reason}', file=sys.stderr)
        if not checked:
            raise UserError('nothing in --real can be read as an image; name pictures, DICOM files or volumes.')
        report = {'workdir': str(launch.workdir()), 'weights_sha256': judge.detector.checksum} | report_check(
            checked,
            error_level=_ERROR_LEVEL.value,
            refused=len(refusals.reasons),
        )
        write_check(report, folder)
    print_check(report, list_rows(report))
    print(f'\nPage: {out / "report.html"}   numbers: {out / "report.json"}')
    if refusals.reasons:
        raise UserError(
            f'{len(refusals.reasons)} could not be read, and are not counted; the lines above tell why.'
        )


if __name__ == '__main__':
    launch.run_command(
        main, packages=('detect', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
