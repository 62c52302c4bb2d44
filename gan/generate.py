"""`python -m gan.generate --workdir=DIR --num=N --out=DIR2 --seed=S` writes images from a trained generator.

A gate stands before the folder: images nearer to a training image than held-out patients are withheld and
replaced, and a membership-inference attack must not tell who was in training; otherwise nothing is written.
"""

if __name__ == '__main__':  # before the imports below, which take seconds
    from foundation.training.interrupts import end_in_one_line

    end_in_one_line()

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

import input_pipeline
from foundation.export.manifest import NOT_CHECKED, Release
from foundation.training import launch
from foundation.training.errors import UserError
from gan.evaluation.extractors import RANDOM, create_extractor
from gan.generation.folder import GenerationRequest, check_out, write_images
from gan.generation.origin import find_origin
from gan.generation.writers import FORMATS
from gan.generator import TrainedGenerator
from gan.release.decision import Policy
from gan.release.guard import ReleaseGuard
from gan.reporting.runs import ReportedRun, read_runs
from gan.sampler import draw_images

_NUM = flags.DEFINE_integer('num', None, 'Images to write.', 1, 10_000_000, required=True)
_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_SEED = flags.DEFINE_integer('seed', 0, 'Same seed, same images.', 0, 2**32 - 1)
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images drawn at once; rounding may depend on it.', 1, 65_536)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
_LABEL = flags.DEFINE_string('label', None, 'Draw this class only (conditional generators).')
_FORMAT = flags.DEFINE_enum('format', 'png', FORMATS, 'Files to write; tfds makes a data set, named as --out.')
_LICENCE = flags.DEFINE_string('licence', '', 'Of the images, like CC-BY-4.0; kept in manifest and model card.')
_DATE = flags.DEFINE_string('date', '', 'Kept in manifest and model card; without it no date is written anywhere.')
_EXTRACTOR = flags.DEFINE_string(
    'extractor', RANDOM, 'In whose features the gate compares images; as for gan.evaluate.'
)
_QUANTILE = flags.DEFINE_float(
    'gate_quantile', 0.01, 'The gate withholds images as near as this share of held-out patients is.', 1e-6, 0.5
)
_LARGEST_WITHHELD = flags.DEFINE_float(
    'largest_withheld', 0.1, 'The release fails when a larger share of the images is withheld.', 0.0, 0.99
)
_LARGEST_AREA = flags.DEFINE_float(
    'largest_attack_area',
    0.6,
    "The release fails when the membership attack's area under the curve may be above this (0.5 is chance).",
    0.5,
    1.0,
)
_ANYWAY = flags.DEFINE_bool('release_anyway', False, 'Write images that fail; the manifest tells.')
_GATE = flags.DEFINE_bool('gate', True, 'Check the images; --nogate, only with --release_anyway, does not.')
flags.adopt_module_key_flags(launch)
# Flags that decide which images are drawn and how they are written.
_COMMAND = (_NUM, _SEED, _BATCH, _STEP, _BEST, _LABEL, _FORMAT, _GATE, _QUANTILE)


def main(argv: Sequence[str]) -> None:
    """Restores the averaged weights and writes the images."""
    launch.reject_arguments(argv)
    workdir, out = launch.workdir(), Path(_OUT.value)
    launch.start_jax()
    if jax.process_count() > 1:
        raise UserError('gan.generate runs on one process; leave --distributed and --coordinator out.')
    if _BEST.value and _STEP.value is not None:
        raise UserError('--best and --step name two checkpoints; leave one of them out.')
    if not _GATE.value and not _ANYWAY.value:
        raise UserError('--nogate leaves the images unchecked; add --release_anyway to release them all the same.')
    check_out(out)
    trained = TrainedGenerator.load(workdir, _STEP.value, best=_BEST.value)
    label = _find_label(trained, _LABEL.value)
    run = read_runs([workdir])[0]
    order = GenerationRequest(
        out=out,
        image_format=_FORMAT.value,
        count=_NUM.value,
        licence=_LICENCE.value,
        date=_DATE.value,
        command={flag.name: flag.value for flag in _COMMAND},
    )
    release = _write(trained, run, order, label)
    print(f'{_NUM.value} images from step {trained.position.step} of {workdir}: {out}')
    _print_verdict(release, out)


def _write(trained: TrainedGenerator, run: ReportedRun, order: GenerationRequest, label: int | None) -> Release:
    """Through the gate, or around it."""
    seed, batch_size = _SEED.value, _BATCH.value
    origin = find_origin(trained, run, seed)
    if not _GATE.value:
        drawn = draw_images(trained, order.count, seed=seed, batch_size=batch_size, label=label)
        return write_images(drawn, order, run, origin, judge=lambda: NOT_CHECKED)
    policy = Policy(_QUANTILE.value, _LARGEST_WITHHELD.value, _LARGEST_AREA.value)
    extractor = create_extractor(_EXTRACTOR.value)
    try:
        guard = ReleaseGuard(trained, extractor, policy, seed=seed, batch_size=batch_size)
    except input_pipeline.DataError as error:
        raise UserError(
            f'The gate cannot compare with the training data ({str(error).rstrip(".")}); prepare them as they '
            'were, or write the images unchecked with --nogate --release_anyway.'
        ) from error
    guard.judge(anyway=_ANYWAY.value)  # what fails whatever is drawn fails before that takes its time
    drawn = guard.draw(order.count, label)
    return write_images(drawn, order, run, origin, judge=lambda: guard.judge(anyway=_ANYWAY.value))


def _print_verdict(release: Release, out: Path) -> None:
    if release.verdict == 'not checked':
        print('These images were not checked for resemblance to training patients; look before you share them.')
    else:
        figures = release.figures
        area = figures['membership_attack']
        told = 'none'
        if area['value'] is not None:
            told = '{:.3f} [{:.3f}, {:.3f}]'.format(area['value'], *area['interval'])
        print(f'Release gate: {release.verdict}. Membership attack: {told} (0.5 is chance).')
        print(f'{figures["withheld"]} of {figures["candidates"]} candidates were withheld.')
        for reason in figures['reasons']:
            print(f'  {reason}')
        print('The gate is a screen, not a proof; look before you share.')
    print(f'Next: {launch.python()} -m gan.verify {out}   and read {out / "MODEL_CARD.md"}')


def _find_label(trained: TrainedGenerator, name: str | None) -> int | None:
    if name is None:
        return None
    if not trained.image_format.num_classes:
        raise UserError(f'--label={name}: this generator was trained without classes; leave --label out.')
    if name not in trained.facts.classes:
        raise UserError(f'--label={name} is unknown; choose one of {", ".join(trained.facts.classes)}.')
    return trained.facts.classes.index(name)


if __name__ == '__main__':
    launch.run_command(main, packages=('gan', 'backbones'), user_errors=(input_pipeline.DataError,))
