"""`python -m gan.generate --workdir=DIR --num=N --out=DIR2 --seed=S` writes images from a trained generator.

A gate stands before the folder: images nearer to a training image than held-out patients are withheld and
replaced, and a membership-inference attack must not tell who was in training; otherwise nothing is written.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from absl import flags

import input_pipeline
from foundation.export.manifest import NOT_CHECKED, Release
from foundation.export.origin import Origin
from foundation.training import launch
from foundation.training.errors import UserError
from gan.generation.folder import GenerationRequest, check_out, write_images
from gan.generation.likeness import Likeness
from gan.generation.origin import find_origin
from gan.generation.selection import LARGEST_SEED, MOST, read_counts, read_seeds
from gan.generation.signatures import SigningRequest, load_request
from gan.generation.writers import FORMATS
from gan.generator import TrainedGenerator, check_checkpoint
from gan.release import policy_flags
from gan.release.guard import ReleaseGuard
from gan.reporting.runs import ReportedRun, read_runs
from gan.sampler import Labels, check_truncation, draw_images, labels_in_turn
from gan.standing import suit_statistics
from gan.watermark import create_watermark

_NUM = flags.DEFINE_integer('num', None, 'Images to write, classes in turn.', 1, MOST)
_COUNTS = flags.DEFINE_list('counts', [], 'In place of --num, images of each class: benign=100,malignant=50.')
_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_SEED = flags.DEFINE_integer('seed', 0, 'Same seed, same images.', 0, LARGEST_SEED)
_SEEDS = flags.DEFINE_list(
    'seeds', [], 'In place of --seed, several, like 1-5 or 1,4,9: each becomes a release of its own, OUT/seed_N.'
)
_TRUNCATION = flags.DEFINE_float(
    'truncation',
    None,
    'Draw numbers of the latents again that are further from 0: less variety, fewer odd images. Networks whose '
    'latents are normal and keep their length (dcgan_medical, sngan, sagan, biggan, wgan_gp). Of stylegan and '
    'stylegan2, the share of the way from the mean style of a class to that of an image.',
    1e-3,
)
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images drawn at once; rounding may depend on it.', 1, 65_536)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
_LABEL = flags.DEFINE_string('label', None, 'Draw this class only (conditional generators).')
_FORMAT = flags.DEFINE_enum('format', 'png', FORMATS, 'Files to write; tfds makes a data set, named as --out.')
_LICENCE = flags.DEFINE_string('licence', '', 'Of the images, like CC-BY-4.0; kept in manifest and model card.')
_WATERMARK = flags.DEFINE_string(
    'watermark', None, 'File with a secret key: an invisible mark of the generator in the pixels of every image.'
)
_DATE = flags.DEFINE_string('date', '', 'Kept in manifest and model card; without it no date is written anywhere.')
_ANYWAY = flags.DEFINE_bool('release_anyway', False, 'Write images that fail; the manifest tells.')
_GATE = flags.DEFINE_bool('gate', True, 'Check the images; --nogate, only with --release_anyway, does not.')
_SIGN = flags.DEFINE_string('sign', None, 'Folder of keys that gan.keys made: images and manifest are signed.')
_SIGN_PASSPHRASE = flags.DEFINE_string(
    'sign_passphrase', '', 'That the keys are encrypted with: env:VARIABLE or file:PATH.'
)
_SIGN_TIME = flags.DEFINE_string(
    'sign_time', '', 'That the signature states, like 2026-11-28T12:00:00Z; that of the clock by default.'
)
_CREDENTIALS = flags.DEFINE_bool('credentials', True, 'With --sign, put content credentials (C2PA) into pictures.')
flags.adopt_module_key_flags(launch)
flags.adopt_module_key_flags(policy_flags)
# Flags that decide which images are drawn and how they are written.
_COMMAND = (
    _NUM,
    _COUNTS,
    _SEED,
    _SEEDS,
    _TRUNCATION,
    _BATCH,
    _STEP,
    _BEST,
    _LABEL,
    _FORMAT,
    _GATE,
    policy_flags.QUANTILE,
)


def main(argv: Sequence[str]) -> None:
    """Restores the averaged weights and writes the images."""
    launch.reject_arguments(argv)
    workdir, out = launch.workdir(), Path(_OUT.value)
    launch.start_jax()
    if jax.process_count() > 1:
        raise UserError('gan.generate runs on one process; leave --distributed and --coordinator out.')
    check_checkpoint(_STEP.value, best=_BEST.value)
    if not _GATE.value and not _ANYWAY.value:
        raise UserError('--nogate leaves the images unchecked; add --release_anyway to release them all the same.')
    folders = {seed: out / f'seed_{seed}' for seed in read_seeds(_SEEDS.value)} or {_SEED.value: out}
    for folder in (out, *folders.values()):
        check_out(folder)
    signing = _read_signing()
    trained = TrainedGenerator.load(workdir, _STEP.value, best=_BEST.value)
    labels = _find_labels(trained)
    if _TRUNCATION.value is not None:
        check_truncation(trained.network, _TRUNCATION.value)
    run = read_runs([workdir])[0]
    for seed, folder in folders.items():
        origin = find_origin(trained, run, seed)
        order = GenerationRequest(
            out=folder,
            image_format=_FORMAT.value,
            count=len(labels),
            licence=_LICENCE.value,
            date=_DATE.value,
            command={flag.name: flag.value for flag in _COMMAND},
            signing=signing,
            watermark=create_watermark(Path(_WATERMARK.value), origin) if _WATERMARK.value else None,
        )
        release = _write(trained, run, order, origin, labels)
        print(f'{len(labels)} images from step {trained.position.step} of {workdir}: {folder}')
        _print_verdict(release, folder)


def _read_signing() -> SigningRequest | None:
    if _SIGN.value is None:
        return None
    has_pictures = _CREDENTIALS.value and _FORMAT.value == 'png'
    return load_request(Path(_SIGN.value), _SIGN_PASSPHRASE.value, _SIGN_TIME.value, credentials=has_pictures)


def _write(
    trained: TrainedGenerator, run: ReportedRun, order: GenerationRequest, origin: Origin, labels: Labels
) -> Release:
    """Through the gate, or around it."""
    batch_size, seed, likeness = _BATCH.value, origin.seed, Likeness(trained, run)
    truncation = math.inf if _TRUNCATION.value is None else _TRUNCATION.value
    drawing = suit_statistics(trained, truncation)
    if not _GATE.value:
        drawn = draw_images(drawing, labels, seed=seed, batch_size=batch_size, truncation=truncation)
        return write_images(likeness.look(drawn), order, run, origin, lambda: likeness.remark(NOT_CHECKED))
    policy, extractor = policy_flags.read_policy(), policy_flags.open_extractor()
    try:
        guard = ReleaseGuard(drawing, extractor, policy, seed=seed, batch_size=batch_size, truncation=truncation)
    except input_pipeline.DataError as error:
        raise UserError(
            f'The gate cannot compare with the training data ({str(error).rstrip(".")}); prepare them as they '
            'were, or write the images unchecked with --nogate --release_anyway.'
        ) from error
    guard.judge(anyway=_ANYWAY.value)  # what fails whatever is drawn fails before that takes its time
    drawn = likeness.look(guard.draw(labels))
    return write_images(drawn, order, run, origin, lambda: likeness.remark(guard.judge(anyway=_ANYWAY.value)))


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
    if release.note:
        print(f'Note: {release.note}')
    print(f'Next: {launch.python()} -m gan.verify {out}   and read {out / "MODEL_CARD.md"}')


def _find_labels(trained: TrainedGenerator) -> Labels:
    """The class of each image."""
    if (_NUM.value is None) == (not _COUNTS.value):
        raise UserError('Name the images that are wanted with --num, or by class with --counts; one of both.')
    num_classes = trained.image_format.num_classes
    if _NUM.value is not None:
        label = None if _LABEL.value is None else _find_label(trained, _LABEL.value, '--label')
        return labels_in_turn(_NUM.value, num_classes, label)
    if _LABEL.value is not None:
        raise UserError('--label and --counts both name classes; leave one of them out.')
    counts = {_find_label(trained, name, '--counts'): count for name, count in read_counts(_COUNTS.value).items()}
    return np.repeat(np.asarray(list(counts), np.int32), list(counts.values()))


def _find_label(trained: TrainedGenerator, name: str, flag: str) -> int:
    if not trained.image_format.num_classes:
        raise UserError(f'{flag}={name}: this generator was trained without classes; leave {flag} out.')
    if name not in trained.facts.classes:
        raise UserError(f'{flag}={name} is unknown; choose one of {", ".join(trained.facts.classes)}.')
    return trained.facts.classes.index(name)


if __name__ == '__main__':
    launch.run_command(main, packages=('gan', 'backbones'), user_errors=(input_pipeline.DataError,))
