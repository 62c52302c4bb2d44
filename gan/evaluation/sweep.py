"""Scores of a generator over what it can be set to, each beside its floor; and its path lengths."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backbones.extractors import Extractor
from foundation.report.figures import create_figure, write_figure
from foundation.statistics.jackknife import count_groups
from foundation.training.errors import UserError
from gan.evaluation import scoring
from gan.evaluation.evaluation import GeneratorProtocol, check_splits
from gan.evaluation.paths import TITLES, measure_path_lengths
from gan.evaluation.report import describe_score
from gan.evaluation.scoring import MEANINGS, Scores
from gan.evaluation.sets import Extract, create_extract, describe_generated, describe_reals, draw_labels
from gan.evaluation.settings import Setting, find_settings
from gan.evaluation.statistics import ImageStatistics, Units, find_units, in_units
from gan.evaluation.tables import describe_value
from gan.generator import TrainedGenerator, read_recipe
from gan.layers import BATCH_STATS
from gan.standing import BATCHES, with_standing_statistics

FOLDER, PICTURE = 'sweep', 'sweep.png'
SHOWN = ('frechet_distance', 'precision', 'recall', 'density', 'coverage')
_LOGGER = logging.getLogger(__name__)
Report = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class SweepRequest:
    """What is measured of a generator.

    Attributes:
      truncations: to be tried; () some that suit it.
      standing: batches of standing statistics for each setting; 0 keeps those of training, None those of
        training but for truncation.
      paths: whose length is measured; 0 none.
    """

    truncations: tuple[float, ...]
    standing: int | None
    paths: int


@dataclasses.dataclass(frozen=True)
class _Reals:
    reference: ImageStatistics
    group_count: int
    floor: Scores
    units: Units | None


def measure_sweep(
    workdir: Path, extractor: Extractor, protocol: GeneratorProtocol, request: SweepRequest
) -> Report:
    """All scores by features of each setting, the floor at its resolution, and path lengths, as JSON has them.

    Raises:
      UserError, DataError: when the run, its data or the extractor cannot be used, or nothing can be set.
    """
    check_splits(read_recipe(workdir).split, protocol)
    trained = TrainedGenerator.load(workdir, protocol.step, best=protocol.best)
    extractor.check_channels(trained.image_format.channels)
    title, settings = find_settings(trained, request.truncations)
    standing = _count_batches(trained, title) if request.standing is None else request.standing
    if standing:
        settings = [_stand(setting, standing) for setting in settings]
    extract = create_extract(extractor, protocol.batch_size)
    reals: dict[int, _Reals] = {}
    measured = []
    for setting in settings:
        side = setting.trained.network.resolution
        if side not in reals:
            reals[side] = _describe_reals(setting.trained, extractor, extract, protocol)
        measured.append(_measure(setting, reals[side], extract, protocol))
    lengths: Scores = {}
    if request.paths:
        _LOGGER.info('Lengths of %d paths.', request.paths)
        lengths = measure_path_lengths(
            trained, extractor, count=request.paths, seed=protocol.seed, batch_size=protocol.batch_size
        )
    return {
        'schema_version': 1,
        'workdir': str(workdir),
        'weights_sha256': trained.checksum(),
        'step': trained.position.step,
        'images_seen': trained.position.images_seen,
        'protocol': dataclasses.asdict(protocol),
        'standing': standing,
        'extractor': extractor.describe(),
        'data': trained.facts.name,
        'title': title,
        'settings': measured,
        'path_lengths': {name: describe_score(score) for name, score in lengths.items()},
    }


def _count_batches(trained: TrainedGenerator, title: str) -> int:
    return BATCHES if title == 'truncation' and BATCH_STATS in trained.weights.variables else 0


def _stand(setting: Setting, batches: int) -> Setting:
    stood = with_standing_statistics(setting.trained, setting.truncation, batches=batches)
    return dataclasses.replace(setting, trained=stood)


def _describe_reals(
    trained: TrainedGenerator, extractor: Extractor, extract: Extract, protocol: GeneratorProtocol
) -> _Reals:
    reference, held_out = (
        describe_reals(trained, split, extractor, extract, protocol.batch_size)
        for split in (protocol.reference, protocol.held_out)
    )
    units = find_units(reference) if extractor.measures else None
    reference, held_out = in_units(reference, units), in_units(held_out, units)
    groups = count_groups(reference.owners, held_out.owners, np.arange(protocol.count))
    if groups < 2:
        raise UserError(
            'Intervals need two patients in the reference and in the held-out split, and two generated images.'
        )
    judged = held_out.fewer(min(len(held_out), protocol.count))
    return _Reals(reference, groups, scoring.measure_features(judged, reference, groups), units)


def _measure(setting: Setting, reals: _Reals, extract: Extract, protocol: GeneratorProtocol) -> Report:
    trained = setting.trained
    _LOGGER.info('%s: drawing %d images.', setting.name, protocol.count)
    labels = draw_labels(reals.reference, protocol.count, trained.image_format.num_classes, protocol.seed)
    generated = describe_generated(
        trained, labels, protocol.seed, extract, protocol.batch_size, setting.truncation
    )
    scores = scoring.measure_features(in_units(generated, reals.units), reals.reference, reals.group_count)
    return {
        'name': setting.name,
        'resolution': trained.network.resolution,
        'scores': {name: describe_score(score) for name, score in scores.items()},
        'floor': {name: describe_score(score) for name, score in reals.floor.items()},
    }


def draw_sweep(report: Report, path: Path) -> None:
    """Frechet distance, and precision beside recall, over the settings, with their intervals, as PNG."""
    figure = create_figure(900, 340, layout='constrained')
    left, right = figure.subplots(1, 2)
    _plot(left, report, 'frechet_distance')
    for name in ('precision', 'recall'):
        _plot(right, report, name)
    right.set_ylim(0, 1.02)
    for axis in (left, right):
        axis.set_xlabel(report['title'])
        axis.legend(fontsize=8)
    write_figure(figure, path)


def _plot(axis: Axes, report: Report, name: str) -> None:
    settings = report['settings']
    known = [place for place, own in enumerate(settings) if own['scores'][name]['value'] is not None]
    values = np.asarray([settings[place]['scores'][name]['value'] for place in known])
    ends = np.asarray([settings[place]['scores'][name]['interval'] for place in known]).reshape(-1, 2)
    reach = np.abs(ends.T - values)
    axis.errorbar(known, values, reach, marker='o', markersize=3, capsize=3, label=scoring.MEANINGS[name].title)
    axis.set_xticks(range(len(settings)), [own['name'] for own in settings])


def read_truncation(text: str) -> float:
    """A limit of latents, or the share of the way from the mean style.

    Raises:
      UserError: for anything else than a number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise UserError(f'--truncations: {text!r} is no number above 0; give some as 0.5,1,inf.')
    return value


def describe_sweep(report: Report) -> Iterator[str]:
    """Lines of a table for people."""
    yield '  '.join(
        f'{cell:<24}' for cell in (report['title'], *(MEANINGS[name].title for name in SHOWN))
    ).rstrip()
    rows = [(own['name'], own['scores']) for own in report['settings']]
    rows += [(f'real, {own["resolution"]}', own['floor']) for own in _each_resolution(report)]
    for name, scores in rows:
        cells = [describe_value(scores[score], MEANINGS[score].digits) for score in SHOWN]
        yield '  '.join(f'{cell:<24}' for cell in (name, *cells)).rstrip()
    for name, score in report['path_lengths'].items():
        yield f'{TITLES[name]}: {describe_value(score, 4)}{score["reason"] or ""}'


def _each_resolution(report: Report) -> list[Report]:
    return list({own['resolution']: own for own in report['settings']}.values())
