"""`python -m detect.anomalies --encoder=CLASSIFIER --out=DIR` finds strange images among those of new patients.

PatchCore, PaDiM and the Mahalanobis distance are fitted on normal training images of a prepared data set, in the
features of a classifier. `--scores bigan=FOLDER` puts the anomaly scores beside them that gan.encode wrote of the
test split. Areas under the ROC curve come with 95% intervals over patients. Writes report.json and report.html.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

import input_pipeline
from backbones.classifier import Classifier
from detect.anomaly.codes import read_given
from detect.evaluation.report import describe
from detect.evaluation.strangeness import Question, measure_strangeness
from detect.scoring import KINDS
from foundation.report.page import Page
from foundation.training import launch
from foundation.training import workdir as workdirs

_ENCODER = flags.DEFINE_string('encoder', None, 'Workdir of a classifier, whose features are used.', required=True)
_DATA = flags.DEFINE_string('data', '', "Prepared data set; that of the classifier's training by default.")
_NORMAL = flags.DEFINE_list('normal', [], 'Classes of normal images; without, those whose masks show nothing.')
_STRANGE = flags.DEFINE_list('strange', [], 'Classes of strange images; without, those whose masks show some.')
_MODALITIES = flags.DEFINE_list('modalities', [], 'Only images of these; all by default.')
_SCORES = flags.DEFINE_multi_string('scores', [], 'NAME=FOLDER of gan.encode, of the test split of the same data.')
_RESAMPLES = flags.DEFINE_integer('resamples', 2000, 'Of the bootstrap over patients.', 100)
_SEED = flags.DEFINE_integer('seed', 0, 'Of every choice by chance.', 0, 2**31 - 1)
_OUT = flags.DEFINE_string('out', None, 'Folder to write to.', required=True)
flags.adopt_module_key_flags(launch)

_COLUMNS = {
    'auroc': 'AUROC',
    'average_precision': 'average precision',
    'equal_error_rate': 'equal error rate',
    'tpr_at_fpr_1_percent': 'found at 1% false alarms',
}


def main(argv: Sequence[str]) -> None:
    """Fits, scores and tells."""
    launch.reject_arguments(argv)
    given = read_given(_SCORES.value, [*KINDS])
    launch.start_jax_alone('detect.anomalies')
    question = Question(
        tuple(_NORMAL.value), tuple(_STRANGE.value), tuple(_MODALITIES.value), _RESAMPLES.value, _SEED.value
    )
    encoder, out = Path(_ENCODER.value), Path(_OUT.value)
    trained = Classifier.load(encoder)
    request = trained.recipe.images
    request = dataclasses.replace(request, name=_DATA.value or request.name).find(encoder)
    report = measure_strangeness(trained, request, question, given)
    out.mkdir(parents=True, exist_ok=True)
    workdirs.write_json(out / 'report.json', report)
    page = Page(f'Strange images of {report["data"]}')
    page.table(['score', *_COLUMNS.values()], _rows(report), _caption(report))
    page.write(out / 'report.html')
    print(_caption(report))
    for row in _rows(report):
        print(f'  {row[0]:<14}' + '  '.join(f'{cell:>22}' for cell in row[1:]))
    print(f'Columns: {", ".join(_COLUMNS.values())}.   page: {out / "report.html"}')


def _rows(report: Mapping[str, Any]) -> list[list[str]]:
    return [[name, *(describe(own[key]) for key in _COLUMNS)] for name, own in report['scores'].items()]


def _caption(report: Mapping[str, Any]) -> str:
    counts = [f'{report["images"][kind]} {kind} images ({report["patients"][kind]} patients)'
              for kind in ('normal', 'strange')]  # fmt: skip
    return (
        f'Test split of {report["data"]}: {" and ".join(counts)}, with 95% intervals from '
        f'{report["question"]["resamples"]:,} resamples of patients.'
    )


if __name__ == '__main__':
    launch.run_command(
        main, packages=('detect', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
