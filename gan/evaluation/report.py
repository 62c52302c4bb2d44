"""report.json: what an evaluation found, as plain numbers with all that decided them."""

import contextlib
import dataclasses
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backbones.extractors import Extractor
from foundation.statistics.jackknife import Missing, Score, Spread, difference
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.evaluation import scoring
from gan.evaluation.drivers import describe_drivers, describe_logarithm
from gan.evaluation.evaluation import Evaluated, GeneratorProtocol, Reals
from gan.evaluation.page import PICTURES, write_page
from gan.evaluation.scoring import Scores
from gan.evaluation.statistics import ImageStatistics
from gan.scores.classification import absent_classes
from gan.scores.masks import MEASURES


def differences(first: Evaluated, second: Evaluated) -> Scores:
    """first - second for every score that both have."""
    return {
        name: difference(score, second.scores[name])
        for name, score in first.scores.items()
        if name in second.scores
    }


def create_report(
    reals: Reals, evaluated: list[Evaluated], extractor: Extractor, protocol: GeneratorProtocol
) -> dict[str, Any]:
    """report.json: every score with its interval, what it was measured on, and why others are missing."""
    first = evaluated[0]
    report: dict[str, Any] = {
        'schema_version': 1,
        'extractor': extractor.describe(),
        'data': {
            'name': first.run.trained.facts.name,
            'fingerprint': first.run.trained.facts.fingerprint,
            'resolution': first.run.trained.network.resolution,
            'reference': _describe_split(protocol.reference, reals.reference, reals),
            'held_out': _describe_split(protocol.held_out, reals.held_out, reals),
            'floor_images': min(len(reals.held_out), protocol.count),
        },
        'interval': {
            'level': 0.95,
            'groups': reals.group_count,
            'method': (
                f'jackknife over {reals.group_count} groups of '
                f'{"patients" if reals.patients_known else "real images"} and of generated images'
            ),
        },
        'meanings': {
            name: dataclasses.asdict(meaning)
            for name, meaning in scoring.create_meanings(
                is_fid=extractor.is_fid, is_radiomic=bool(extractor.measures)
            ).items()
        },
        'runs': [_describe_run(each, reals, extractor, protocol) for each in evaluated],
    }
    if len(evaluated) == 2:
        report['differences'] = {name: describe_score(score) for name, score in differences(*evaluated).items()}
    return report


def _describe_split(split: str, described: ImageStatistics, reals: Reals) -> dict[str, Any]:
    patients = len(np.unique(described.owners)) if reals.patients_known else None
    return {'split': split, 'images': len(described), 'patients': patients}


def _describe_run(
    each: Evaluated, reals: Reals, extractor: Extractor, protocol: GeneratorProtocol
) -> dict[str, Any]:
    floor = {name: reals.floor.get(name, Missing('could not be measured.')) for name in each.scores}
    described = {name: _describe_beside_floor(name, each.scores, each.at_floor, floor) for name in each.scores}
    radiomics = None
    if reals.units is not None:
        radiomics = {
            'logarithm': describe_logarithm(each.scores['frechet_distance']),
            'drivers': describe_drivers(each.generated, reals.reference, reals.units, extractor.measures),
        }
    return {
        'workdir': str(each.run.workdir),
        'weights_sha256': each.run.trained.checksum(),
        'step': each.run.trained.position.step,
        'images_seen': each.run.trained.position.images_seen,
        'checkpoint': 'best' if protocol.best else 'newest' if protocol.step is None else 'step',
        'count': len(each.generated),
        'seed': protocol.seed,
        'scores': {name: described[name] for name in scoring.MEANINGS},
        'scales': {name: score for name, score in described.items() if name not in scoring.MEANINGS},
        'by_class': {
            label: {name: _describe_beside_floor(name, *scores) for name in scores.scores}
            for label, scores in each.by_class.items()
        },
        'absent_classes': _find_absent_classes(each.generated, reals.reference, extractor.classes),
        'radiomics': radiomics,
        'masks': {
            name: {kind: describe_score(scores[name]) for kind, scores in each.masks.items()}
            for name in (MEASURES if each.masks else ())
        },
        'agreement': None if reals.segmenter is None else _describe_agreement(reals, each),
        'as_published': {name: _describe_spread(spread) for name, spread in each.as_published.items()},
    }


def _describe_agreement(reals: Reals, each: Evaluated) -> dict[str, Any]:
    """Dice of the segmenter with masks of generated and of held-out images, by class."""
    assert reals.segmenter is not None
    assert reals.agreement is not None
    assert each.agreement is not None
    sets = {'generated': each.agreement.scores, 'held_out': reals.agreement.scores}
    dice = {
        name: {kind: describe_score(scores[name]) for kind, scores in sets.items()} for name in sets['generated']
    }
    return {'segmenter': reals.segmenter.describe(), 'dice': dice}


def _describe_beside_floor(name: str, scores: Scores, at_floor: Scores, floor: Scores) -> dict[str, Any]:
    few = at_floor.get(name)
    return {
        **describe_score(scores[name]),
        'floor': describe_score(floor[name]),
        'at_floor_count': None if few is None else describe_score(few),
    }


def _find_absent_classes(
    generated: ImageStatistics, reference: ImageStatistics, class_names: Sequence[str]
) -> dict[str, list[str]]:
    """The extractor's classes that it sees in one set alone, by the set that lacks them."""
    drawn, real = generated.probabilities, reference.probabilities
    return {
        'generated': list(absent_classes(drawn, real, class_names)),
        'reference': list(absent_classes(real, drawn, class_names)),
    }


def describe_score(score: Score) -> dict[str, Any]:
    """A score for JSON: null with its reason where it could not be computed."""
    if isinstance(score, Missing):
        return {'value': None, 'interval': None, 'counts': {}, 'reason': score.reason}
    return {'value': score.value, 'interval': list(score.interval()), 'counts': dict(score.counts), 'reason': None}


def _describe_spread(spread: Spread | Missing) -> dict[str, Any]:
    if isinstance(spread, Missing):
        return {'value': None, 'deviation': None, 'parts': None, 'reason': spread.reason}
    return {'value': spread.mean, 'deviation': spread.deviation, 'parts': spread.parts, 'reason': None}


REPORT_FILE = 'report.json'
_LOGGER = logging.getLogger(__name__)


def check_folder(folder: Path) -> None:
    """Raises UserError, before anything is measured, where no evaluation can be written.

    A folder that does not exist must be creatable: the nearest one above it counts.
    """
    existing = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    if not existing.is_dir():
        raise UserError(f'--out={folder}: {existing} is a file; name a folder.')
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f'--out={folder}: nothing can be written to {existing}; name another folder.')


def write_evaluation(folder: Path, report: Mapping[str, Any], reals: Reals, evaluated: list[Evaluated]) -> None:
    """Writes report.json, the page and its pictures; files of an earlier evaluation are replaced at the end.

    Pictures of it that this one does not have, as of a second run, are removed.
    """
    _LOGGER.info('Writing %s.', folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix='incomplete.', dir=folder) as name:
            partial = Path(name)
            write_page(report, reals, evaluated, partial)
            workdirs.write_json(partial / REPORT_FILE, report)
            written = sorted(path.name for path in partial.iterdir())
            for file in written:
                os.replace(partial / file, folder / file)
        for file in set(PICTURES) - set(written):
            (folder / file).unlink(missing_ok=True)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
