"""`python -m detect.evaluate --workdir=DIR` tells what a finished detector is worth on patients it has never seen.

Scores with 95% intervals over patients, by modality, source and kind; the matrix of runs that left generators out
(--against, once for each); the shortcut card (with --control, a run on random labels); robustness; maps. Writes
DIR/evaluation: report.html, report.json and pictures. Thresholds and temperatures come from validation. A command
that was stopped is simply given again: parts that are finished, and depend on nothing that changed, are kept.
"""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

import input_pipeline
from detect.anomaly.codes import read_given, read_scores
from detect.detector import TrainedDetector
from detect.evaluation.explanations import PICTURE, explain
from detect.evaluation.finished import FinishedParts, Piece
from detect.evaluation.outputs import OUTPUTS, SplitOutputs, measure, read_detector, read_outputs, save_outputs
from detect.evaluation.report import print_report, write_report
from detect.evaluation.robustness import attack_grid, certify_some, degradation_grid
from detect.evaluation.scores import DetectorProtocol, score_all, score_baselines, score_parts, transfer
from detect.evaluation.shortcuts import draw_card
from detect.scoring import FUSED, KINDS, NETWORK
from foundation.export.manifest import content_checksum
from foundation.software import software_version
from foundation.training import launch
from foundation.training.errors import UserError
from foundation.training.workdir import one_writer

_DATA = flags.DEFINE_string('data', '', "Data set to measure on, by name; the run's own by default.")
_AGAINST = flags.DEFINE_multi_string('against', [], 'Runs that left sources out of training, for the matrix.')
_CONTROL = flags.DEFINE_string('control', '', 'A run on random labels, for the shortcut card.')
_PREVALENCE = flags.DEFINE_float('prevalence', 0.01, 'Share of synthetic images, for predictive values.', 0.0, 1.0)
_RESAMPLES = flags.DEFINE_integer('resamples', 2000, 'Of the bootstrap over patients.', 100)
_SEED = flags.DEFINE_integer('seed', 0, 'Of every choice by chance.', 0, 2**31 - 1)
_BASELINES = flags.DEFINE_bool('baselines', True, 'Fit classical classifiers on the features, too.')
_ATTACKED = flags.DEFINE_integer('attacked', 100, 'Test images that are attacked; 0 none.', 0)
_ATTACK_STEPS = flags.DEFINE_integer('attack_steps', 20, 'Of attacks that know the gradient.', 1)
_CERTIFIED = flags.DEFINE_integer('certified', 10, 'Test images that randomised smoothing certifies; 0 none.', 0)
_DRAWS = flags.DEFINE_integer('draws', 1000, 'Noisy copies of each certified image.', 100)
_EXPLAINED = flags.DEFINE_integer('explained', 64, 'Synthetic test images whose maps are scored.', 1)
_SCORES = flags.DEFINE_multi_string(
    'scores', [], 'NAME=FOLDER of gan.encode, of the test split of the same data: a further score.'
)
_OUT = flags.DEFINE_string('out', None, 'Folder to write to; WORKDIR/evaluation by default.')
flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Restores the detector, measures, and tells."""
    launch.reject_arguments(argv)
    workdir = launch.workdir()
    launch.start_jax_alone('detect.evaluate')
    if not 0 < _PREVALENCE.value < 1:
        raise UserError(f'--prevalence={_PREVALENCE.value} must lie between 0 and 1.')
    given = read_given(_SCORES.value, [*KINDS, NETWORK, FUSED])
    detector = read_detector(workdir, _DATA.value)
    others = [read_detector(Path(other), _DATA.value) for other in _AGAINST.value]
    control = read_detector(Path(_CONTROL.value), _DATA.value) if _CONTROL.value else None
    if control is not None and control.recipe.data.labels != 'random':
        raise UserError(f'--control={_CONTROL.value} has true labels; train it with config.data.labels=random.')
    out = Path(_OUT.value) if _OUT.value else workdir / '_'.join(filter(None, ['evaluation', _DATA.value]))
    with one_writer(out):
        _evaluate(detector, others, control, given, out)


def _evaluate(
    detector: TrainedDetector,
    others: Sequence[TrainedDetector],
    control: TrainedDetector | None,
    given: Mapping[str, Path],
    out: Path,
) -> None:
    """Measures what no stopped call has finished, writes all, and tells."""
    images = detector.recipe.data.with_every_source().open('test', train=False)
    further = read_scores(given, images.records.keys)
    finished = FinishedParts(out / 'unfinished', _describe_common(detector, images))
    outputs = Piece('outputs', {}, 1, lambda: save_outputs(measure(detector, images), finished.files), (OUTPUTS,))
    finished.measure([outputs])
    measured = read_outputs(images, finished.files).with_scores(further)
    depends = {'scores': {name: content_checksum({'own': own.tolist()}) for name, own in further.items()}}
    parts = _list_parts(detector, others, control, measured, finished.files)
    parts = [dataclasses.replace(part, depends={**part.depends, **depends}) for part in parts]
    report = _describe_run(detector, measured) | finished.measure(parts)
    shutil.copyfile(finished.files / PICTURE, out / PICTURE)
    write_report(report, measured, detector, out)
    finished.remove()
    print_report(report, out)


def _describe_common(detector: TrainedDetector, images: input_pipeline.ImageData) -> dict[str, Any]:
    """What every part depends on."""
    return {
        'workdir': str(detector.workdir),
        'weights': detector.checksum,
        'calibration': dataclasses.asdict(detector.calibration) | {'form': detector.calibration.form.to_dict()},
        'data': [images.name, images.fingerprint],
        'versions': [software_version(), jax.__version__, jax.default_backend()],
        'seed': _SEED.value,
    }


def _describe_run(detector: TrainedDetector, measured: SplitOutputs) -> dict[str, Any]:
    return {
        'data': measured.images.name,
        'data_fingerprint': measured.images.fingerprint,
        'shared_splits': list(measured.images.options['divided']),
        'workdir': str(detector.workdir),
        'weights_sha256': detector.checksum,
        'step': detector.position.step,
        'protocol': dataclasses.asdict(_protocol()),
    }


def _protocol() -> DetectorProtocol:
    return DetectorProtocol(_PREVALENCE.value, _RESAMPLES.value, _SEED.value)


def _list_parts(
    detector: TrainedDetector,
    others: Sequence[TrainedDetector],
    control: TrainedDetector | None,
    measured: SplitOutputs,
    folder: Path,
) -> list[Piece]:
    """All that is measured. Costs are images that the network looks at, in those of the test split."""
    protocol, seed, count = _protocol(), _SEED.value, max(1, len(measured.labels))
    told = {'protocol': dataclasses.asdict(protocol)}
    attacks = {'images': _ATTACKED.value, 'steps': _ATTACK_STEPS.value}
    certified = {'images': _CERTIFIED.value, 'draws': _DRAWS.value}
    runs = [[str(other.workdir), other.checksum] for other in others]
    known = None if control is None else [str(control.workdir), control.checksum]
    return [
        Piece('scores', told, 1, lambda: score_all(detector, measured, protocol)),
        Piece('parts', told, 1, lambda: score_parts(detector, measured, protocol)),
        Piece('baselines', told | {'wanted': _BASELINES.value}, 4 * _BASELINES.value, lambda: score_baselines(
            detector, measured, protocol) if _BASELINES.value else {}),
        Piece('transfer', {'against': runs}, 1 + len(others), lambda: transfer([detector, *others], measured)),
        Piece('shortcuts', {'control': known}, 8, lambda: [
            dataclasses.asdict(entry) for entry in draw_card(detector, measured, control, seed)]),
        Piece('degradations', {}, 12, lambda: degradation_grid(detector, measured)),
        Piece('attacks', attacks, 60 * _ATTACKED.value * _ATTACK_STEPS.value / count, lambda: attack_grid(
            detector, measured, **attacks, seed=seed) if _ATTACKED.value else None),
        Piece('certificates', certified, _CERTIFIED.value * _DRAWS.value / count, lambda: certify_some(
            detector, measured, **certified, seed=seed)),
        Piece('maps', {'images': _EXPLAINED.value}, 60 * _EXPLAINED.value / count, lambda: explain(
            detector, measured, folder, images=_EXPLAINED.value, seed=seed), (PICTURE,)),
    ]  # fmt: skip


if __name__ == '__main__':
    launch.run_command(
        main, packages=('detect', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
