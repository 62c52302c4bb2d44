"""`python -m detect.evaluate --workdir=DIR` tells what a finished detector is worth on patients it has never seen.

Scores with 95% intervals over patients, by modality, source and kind; the matrix of runs that left generators out
(--against, once for each); the shortcut card (with --control, a run on random labels); robustness; maps. Writes
DIR/evaluation: report.html, report.json and pictures. Thresholds and temperatures come from validation.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

import input_pipeline
from detect.anomaly.codes import read_given, read_scores
from detect.detector import TrainedDetector
from detect.evaluation.explanations import explain
from detect.evaluation.outputs import SplitOutputs, measure, read_detector
from detect.evaluation.report import print_report, write_report
from detect.evaluation.robustness import attack_grid, certify_some, degradation_grid
from detect.evaluation.scores import DetectorProtocol, score_all, score_baselines, score_parts, transfer
from detect.evaluation.shortcuts import draw_card
from detect.scoring import FUSED, KINDS, NETWORK
from foundation.training import launch
from foundation.training.errors import UserError

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
    out.mkdir(parents=True, exist_ok=True)
    measured = measure(detector, detector.recipe.data.with_every_source().open('test', train=False))
    measured = measured.with_scores(read_scores(given, measured.images.records.keys))
    report = _measure_all(detector, others, control, measured, out)
    write_report(report, measured, detector, out)
    print_report(report, out)


def _measure_all(
    detector: TrainedDetector,
    others: Sequence[TrainedDetector],
    control: TrainedDetector | None,
    measured: SplitOutputs,
    out: Path,
) -> dict[str, Any]:
    protocol, seed = DetectorProtocol(_PREVALENCE.value, _RESAMPLES.value, _SEED.value), _SEED.value
    images = measured.images
    return {
        'data': images.name,
        'data_fingerprint': images.fingerprint,
        'shared_splits': list(images.options['divided']),
        'workdir': str(detector.workdir),
        'weights_sha256': detector.checksum,
        'step': detector.position.step,
        'protocol': dataclasses.asdict(protocol),
        'scores': score_all(detector, measured, protocol),
        'parts': score_parts(detector, measured, protocol),
        'baselines': score_baselines(detector, measured, protocol) if _BASELINES.value else {},
        'transfer': transfer([detector, *others], measured),
        'shortcuts': [dataclasses.asdict(entry) for entry in draw_card(detector, measured, control, seed)],
        'degradations': degradation_grid(detector, measured),
        'attacks': attack_grid(
            detector, measured, images=_ATTACKED.value, steps=_ATTACK_STEPS.value, seed=seed
        ) if _ATTACKED.value else None,
        'certificates': certify_some(detector, measured, images=_CERTIFIED.value, draws=_DRAWS.value, seed=seed),
        'maps': explain(detector, measured, out, images=_EXPLAINED.value, seed=seed),
    }  # fmt: skip


if __name__ == '__main__':
    launch.run_command(
        main, packages=('detect', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
