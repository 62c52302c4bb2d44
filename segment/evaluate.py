"""`python -m segment.evaluate --workdir=DIR` measures a trained segmenter on patients that training has not seen.

Dice, IoU, HD95, NSD, sensitivity and false-positive volume of each class, by patient, with a bootstrap interval
over patients and the policy for empty masks by name. Writes DIR/evaluation: report.json, cases.csv, worst cases.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from absl import flags

import input_pipeline
from backbones.images import ImageRequest
from foundation.training import launch
from foundation.training.errors import UserError
from input_pipeline.depth import NOTE, differs
from segment.data import describe_known, open_images
from segment.ensemble import SegmenterEnsemble
from segment.evaluation import SegmenterProtocol, evaluate
from segment.metrics import POLICIES
from segment.segmenter import TrainedSegmenter

_DATA = flags.DEFINE_string('data', '', "Data set to measure on, by name; the run's own by default.")
_SPLIT = flags.DEFINE_enum('split', 'test', ('validation', 'test'), 'Whose patients are measured.')
_ENSEMBLE = flags.DEFINE_list('ensemble', [], 'More runs: probabilities are averaged with those of --workdir.')
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use.')
_BEST = flags.DEFINE_bool('best', True, 'Without --step: the best by the validation split, not the newest.')
_ALL_PARTS = flags.DEFINE_bool(
    'all_parts',
    False,
    'Keep all parts of masks, also where the largest alone was better in validation.',
)
_MIRROR = flags.DEFINE_bool('mirror', False, 'Average over mirrored copies: slower, often a little better.')
_POLICY = flags.DEFINE_enum('policy', 'nnunet', POLICIES, 'For empty masks, in what is printed and in cases.csv.')
_TOLERANCE = flags.DEFINE_float('tolerance', 2.0, 'Of NSD: millimetres, or pixels where no spacing is known.', 0.0)
_LEVEL = flags.DEFINE_float('level', 0.95, 'Coverage of the intervals.', 0.5, 0.999)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the bootstrap.', 0, 2**32 - 1)
_DRAW = flags.DEFINE_bool('draw', True, 'Draw the worst cases.')
_OUT = flags.DEFINE_string('out', None, 'Folder to write to; by default in WORKDIR.')
flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Restores the network, measures, and tells."""
    launch.reject_arguments(argv)
    workdir = launch.workdir()
    launch.start_jax_alone('segment.evaluate')
    workdirs = [workdir, *map(Path, _ENSEMBLE.value)]
    segmenter = SegmenterEnsemble.load(
        workdirs,
        _STEP.value,
        best=_BEST.value and _STEP.value is None,
        mirror=_MIRROR.value,
        all_parts=_ALL_PARTS.value,
    )
    protocol = SegmenterProtocol(
        _SPLIT.value, _POLICY.value, _TOLERANCE.value, _MIRROR.value, _LEVEL.value, _SEED.value
    )
    out = Path(_OUT.value) if _OUT.value else workdir / _folder_name()
    images = _open_images(segmenter.first, workdir)
    for member, own in list(zip(segmenter.members, workdirs, strict=True))[1:]:
        _warn_of_known(member.recipe.images.find(own), images)
    evaluate(segmenter, images, protocol, out, draw=_DRAW.value)


def _folder_name() -> str:
    """The run's own test patients, by the run alone, have the plain name; nothing else takes their place."""
    averaged = 'ensemble' if _ENSEMBLE.value else ''
    parts = ['evaluation', averaged, _DATA.value.replace('/', '_'), _SPLIT.value if _SPLIT.value != 'test' else '']
    return '_'.join(filter(None, parts))


def _open_images(segmenter: TrainedSegmenter, workdir: Path) -> input_pipeline.ImageData:
    request = segmenter.recipe.images
    if _DATA.value:
        # Cases are read as they are stored; the segmenter chooses the window of each.
        plain = dataclasses.replace(request.preprocessing, window='volume')
        request = dataclasses.replace(request, name=_DATA.value, preprocessing=plain)
    recipe = dataclasses.replace(segmenter.recipe, images=request.find(workdir))
    images = open_images(recipe, _SPLIT.value, train=False)
    if _DATA.value:
        _warn_of_known(segmenter.recipe.images.find(workdir), images)
    if not _DATA.value and images.fingerprint != segmenter.facts.fingerprint:
        raise UserError(
            f'{images.name} holds other images, or other splits, than when the run was trained on it, so that its '
            f'{_SPLIT.value} patients may be known to the network; prepare the data as they were.'
        )
    if differs(images.stored_dtype, segmenter.trained_types):
        print(f'Note: {NOTE}')
    return images


def _warn_of_known(training: ImageRequest, images: input_pipeline.ImageData) -> None:
    """Tells of patients of another data set whom the network may have been trained on."""
    if sentence := describe_known(training, images):
        print(sentence)


if __name__ == '__main__':
    launch.run_command(
        main, packages=('segment', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
