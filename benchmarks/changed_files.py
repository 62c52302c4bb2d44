"""What detectors say of a test split after what happens to files on their way, as Markdown tables.

    python -m benchmarks.changed_files --data=NAME --workdir=runs/a --workdir=runs/b --count=50

NAME is a set whose images keep their own pixels (`detect.prepare --resolution=native`). Its test images, at most
--count of each source and as many real ones as of all sources together, are changed alike whatever they are, and
judged as `detect.predict` does. Areas under the ROC curve of the fused score, with 95% intervals by patient, over
all sources and for each; and what becomes of verdicts on real images.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import scipy.special
from absl import app, flags, logging
from jaxtyping import UInt8

import input_pipeline
from benchmarks import machine
from detect.file_degradations import compress, resize
from detect.judge import Judge, open_judge
from foundation.statistics.proportions import auroc_interval, placements_of
from input_pipeline.cases import create_case
from input_pipeline.dataset.items import open_splits
from input_pipeline.dataset.mixture import REAL
from input_pipeline.dataset.summary import read_records

_WORKDIRS = flags.DEFINE_multi_string('workdir', [], 'Of a finished detector; may be given several times.')
_DATA = flags.DEFINE_string('data', None, 'Prepared data set.', required=True)
_COUNT = flags.DEFINE_integer('count', 50, 'Images of each source, at most.', 2)
_ERROR_LEVEL = flags.DEFINE_float('error_level', 0.05, 'As of detect.predict.')
_SEED = 0
Picture = UInt8[np.ndarray, '_ _ channel']


def scale(picture: Picture, factor: float) -> Picture:
    """By area where it shrinks, cubic where it grows."""
    height, width = (round(side * factor) for side in picture.shape[:2])
    return resize(picture, height, width, cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def cut(picture: Picture) -> Picture:
    """The middle 80% of both sides."""
    rows, columns = (slice(round(0.1 * side), round(0.9 * side)) for side in picture.shape[:2])
    return picture[rows, columns]


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    'as they are': lambda picture: picture,
    'border of 5%': lambda picture: np.pad(picture, [(round(0.05 * len(picture)),) * 2] * 2 + [(0, 0)]),
    'letterbox': lambda picture: np.pad(picture, [(round(0.1 * len(picture)),) * 2, (0, 0), (0, 0)]),
    'cut to 80%': cut,
    'turned by 90 degrees': lambda picture: np.rot90(picture),
    'halved': lambda picture: scale(picture, 0.5),
    'doubled': lambda picture: scale(picture, 2.0),
    'JPEG 75': lambda picture: compress(np.ascontiguousarray(picture), '.jpg', 75),
}


@dataclasses.dataclass(frozen=True)
class TestImage:
    """One of the test split.

    Attributes:
      record: the image.
      source: of it; `real`, or who made it.
      patient: whose it is, by number.
    """

    record: input_pipeline.Record
    source: str
    patient: int


def main(_: Sequence[str]) -> None:
    """Prints a table for each detector."""
    logging.set_verbosity(logging.WARNING)
    print(machine.describe('changed_files'))
    images = choose_images(_DATA.value, _COUNT.value)
    sources = sorted({image.source for image in images} - {REAL})
    print(f'{len(images)} test images of {_DATA.value}: {collections.Counter(one.source for one in images)}\n')
    for workdir in _WORKDIRS.value:
        judge = open_judge(Path(workdir), error_level=_ERROR_LEVEL.value, prevalence=None, batch_size=1)
        print(f'{workdir}\n\n| images | AUROC | {" | ".join(sources)} | real called synthetic | real, unknown |')
        print(f'| --- | --- {"| --- " * len(sources)}| --- | --- |')
        for name, change in CHANGES.items():
            print(f'| {name} | {" | ".join(judge_images(images, change, judge, sources))} |', flush=True)
        print()


def choose_images(name: str, count: int) -> list[TestImage]:
    """Of each source, at most so many, drawn by chance; as many real ones as of all sources together."""
    split = open_splits(name, input_pipeline.find_data_dir(None))['test']
    table, random = read_records(split.folder, 'test'), np.random.default_rng(_SEED)
    patients = {patient: number for number, patient in enumerate(sorted(set(table.patients)))}
    order = random.permutation(len(table.labels)).tolist()
    sources = sorted(set(table.labels) - {REAL})
    wanted = dict.fromkeys(sources, count) | {REAL: count * len(sources)}
    chosen: list[int] = []
    for source, most in wanted.items():
        chosen += [place for place in order if table.labels[place] == source][:most]
    return [TestImage(split.read(own), table.labels[own], patients[table.patients[own]]) for own in chosen]


def judge_images(
    images: Sequence[TestImage], change: Callable[[Picture], Picture], judge: Judge, sources: Sequence[str]
) -> list[str]:
    """The cells of a row."""
    answers, log_odds = [], []
    for image in images:
        record = dataclasses.replace(
            image.record, image=np.ascontiguousarray(change(image.record.image)), mask=None
        )
        judgement = judge.judge(create_case([record]))
        answers.append(judgement.answer)
        probability = 0.5 if judgement.probability is None else judgement.probability
        log_odds.append(float(scipy.special.logit(np.clip(probability, 1e-12, 1 - 1e-12))))
    kinds = np.array([image.source for image in images])
    scores, real = np.array(log_odds), kinds == REAL
    patients = np.array([image.patient for image in images])
    ends, own = auroc_interval(scores, ~real, patients), placements_of(scores, ~real).mean()
    cells = [f'{own:.3f}' + ('' if ends is None else f' [{ends[0]:.3f}, {ends[1]:.3f}]')]
    for source in sources:
        chosen = real | (kinds == source)
        cells.append(f'{placements_of(scores[chosen], ~real[chosen]).mean():.3f}')
    said = np.array(answers)[real]
    shares = [(said == answer).mean() for answer in ('synthetic', "don't know")]
    return [*cells, *(f'{share:.1%}' for share in shares)]


if __name__ == '__main__':
    app.run(main)
