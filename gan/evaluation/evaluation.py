"""One evaluation: runs measured against the same real images."""

import dataclasses
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backbones.extractors import Extractor
from foundation.statistics.jackknife import Missing, Spread, count_groups
from foundation.training.errors import UserError
from gan.evaluation import scoring
from gan.evaluation.agreement import Agreement, ReferenceSegmenter
from gan.evaluation.masks import DrawnMasks, MaskScores, RealMasks, read_pairs
from gan.evaluation.scoring import Scores
from gan.evaluation.sets import Extract, create_extract, describe_generated, describe_reals, draw_labels
from gan.evaluation.statistics import ImageStatistics, Units, find_units, in_units
from gan.generator import TrainedGenerator, read_recipe

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class GeneratorProtocol:
    """What decides the numbers, besides the run and the extractor.

    Attributes:
      count: generated images.
      seed: of their latents.
      reference, held_out: splits of the run's data set.
      step: of the checkpoint; None for the newest.
      best: whether the checkpoint with the lowest watched distance is taken.
      batch_size: images at a time.
      segmenter: workdir of the segmenter that masks are compared with; None for none.
    """

    count: int
    seed: int
    reference: str
    held_out: str
    step: int | None
    best: bool
    batch_size: int
    segmenter: Path | None


@dataclasses.dataclass(frozen=True, eq=False)
class Reals:
    """The real images that runs are measured with, and what they score among themselves.

    Attributes:
      reference, held_out, training: described splits.
      group_count: of the jackknife.
      floor: scores of held-out images in place of generated ones, of as many as are generated at most.
      patients_known: see `input_pipeline.ImageData`.
      units: of features that are no network's; None for a network's.
      segmenter: that masks are compared with; None for none.
      agreement: of it with the masks of held-out images.
    """

    reference: ImageStatistics
    held_out: ImageStatistics
    training: ImageStatistics
    group_count: int
    floor: Scores
    patients_known: bool
    units: Units | None
    segmenter: ReferenceSegmenter | None
    agreement: Agreement | None


class EvaluatedRun(NamedTuple):
    """A run with its generator."""

    workdir: Path
    trained: TrainedGenerator


class ClassScores(NamedTuple):
    """Scores within one class, as those of all images are.

    Attributes:
      scores: of all generated images of the class.
      at_floor: of as many as there are held-out images of it.
      floor: of these in place of generated ones.
    """

    scores: Scores
    at_floor: Scores
    floor: Scores


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """A run and its scores.

    Attributes:
      run: what was measured.
      generated: described images.
      scores: of all of them.
      at_floor: of as many as the floor is of, to be compared with it.
      by_class: scores by features, by class name; empty without condition.
      as_published: mean and deviation over parts, as in the literature.
      masks: of generated and of real images, by the name of the set; empty where none are drawn.
      agreement: of the segmenter with its masks; None where there is none.
    """

    run: EvaluatedRun
    generated: ImageStatistics
    scores: Scores
    at_floor: Scores
    by_class: dict[str, ClassScores]
    as_published: dict[str, Spread | Missing]
    masks: MaskScores
    agreement: Agreement | None


def evaluate(
    folders: list[Path], extractor: Extractor, protocol: GeneratorProtocol
) -> tuple[Reals, list[Evaluated]]:
    """Measures runs on the same real images; see `gan.evaluate`.

    Raises:
      UserError, DataError: when a run, its data or the extractor cannot be used, or runs do not compare.
    """
    for folder in folders:
        check_splits(read_recipe(folder).split, protocol)
    runs = [
        EvaluatedRun(folder, TrainedGenerator.load(folder, protocol.step, best=protocol.best))
        for folder in folders
    ]
    first, *others = runs
    for other in others:
        _check_comparable(first, other)
    extractor.check_channels(first.trained.image_format.channels)
    for split in (protocol.reference, protocol.held_out):  # a missing one is told before anything is measured
        first.trained.recipe.open_split(split)
    segmenter = None
    if protocol.segmenter is not None:  # it must fit all
        segmenter, *_ = [ReferenceSegmenter.read(protocol.segmenter, run.trained) for run in runs]
    extract = create_extract(extractor, protocol.batch_size)
    reals = _describe_reals(first, extractor, extract, protocol, segmenter)
    splits = {'reference': protocol.reference, 'held_out': protocol.held_out}
    masks = RealMasks(splits, reals.group_count, protocol.batch_size)
    return reals, [_evaluate_run(run, reals, extractor, extract, protocol, masks) for run in runs]


def check_splits(trained_on: str, protocol: GeneratorProtocol) -> None:
    """Raises UserError where one split would be measured against itself, or against what was trained on."""
    if protocol.held_out == trained_on:
        raise UserError(f'--held_out={protocol.held_out} is the split that the run was trained on; name another.')
    if protocol.reference == protocol.held_out:
        raise UserError(f'--reference and --held_out are both {protocol.reference!r}; name two splits.')


def _check_comparable(first: EvaluatedRun, other: EvaluatedRun) -> None:
    theirs = _decisive(other)
    for name, value in _decisive(first).items():
        if value != theirs[name]:
            raise UserError(
                f'{first.workdir} and {other.workdir} differ in their {name} ({value}, {theirs[name]}); '
                'only runs on the same images compare.'
            )


def _decisive(run: EvaluatedRun) -> dict[str, str]:
    """What must be equal in runs that are compared, by the name that a message gives it."""
    facts, recipe = run.trained.facts, run.trained.recipe
    images, form = recipe.images, recipe.images.preprocessing
    chosen = {
        'split': recipe.split,
        'modalities': list(images.modalities),
        'classes': list(images.classes),
        'window': form.window,
        'fit': form.fit,
        'pixels': form.pixels,
    }
    return {
        'data': f'{facts.name} {facts.fingerprint[:16]}',
        'resolution': str(run.trained.network.resolution),
        'channels': str(run.trained.image_format.channels),
        **{f'config.data.{name}': str(value) for name, value in chosen.items()},
    }


def _describe_reals(
    run: EvaluatedRun,
    extractor: Extractor,
    extract: Extract,
    protocol: GeneratorProtocol,
    segmenter: ReferenceSegmenter | None,
) -> Reals:
    def describe(split: str) -> ImageStatistics:
        return describe_reals(run.trained, split, extractor, extract, protocol.batch_size)

    reference, held_out = describe(protocol.reference), describe(protocol.held_out)
    training_split = run.trained.recipe.split
    training = reference if protocol.reference == training_split else describe(training_split)
    units = find_units(reference) if extractor.measures else None
    reference, held_out, training = (in_units(each, units) for each in (reference, held_out, training))
    group_count = count_groups(reference.owners, held_out.owners, np.arange(protocol.count))
    if group_count < 2:
        raise UserError(
            'Intervals need two patients in the reference and in the held-out split, and two generated images.'
        )
    agreement = None
    if segmenter is not None:
        pairs = read_pairs(run.trained, protocol.held_out, protocol.batch_size)
        agreement = segmenter.judge(pairs, group_count, real=True)
    judged = _at_most(held_out, protocol.count)
    _LOGGER.info('Floor: %d held-out images in place of generated ones.', len(judged))
    floor = scoring.measure(judged, reference, group_count, extractor.classes)
    floor |= scoring.measure_memory(judged, held_out, training, group_count)
    floor['copying_score'] = scoring.NO_FLOOR  # held-out images would be compared with themselves
    patients_known = run.trained.recipe.open_split(protocol.reference).patients_known
    return Reals(reference, held_out, training, group_count, floor, patients_known, units, segmenter, agreement)


def _evaluate_run(
    run: EvaluatedRun,
    reals: Reals,
    extractor: Extractor,
    extract: Extract,
    protocol: GeneratorProtocol,
    real_masks: RealMasks,
) -> Evaluated:
    workdir, trained = run
    num_classes = trained.image_format.num_classes
    labels = draw_labels(reals.reference, protocol.count, num_classes, protocol.seed)
    _LOGGER.info('%s: drawing %d images with the weights of step %d.', workdir, len(labels), trained.position.step)
    kept = None if reals.segmenter is None else np.dtype(trained.facts.dtype)
    masks = DrawnMasks(kept) if trained.image_format.mask_classes else None
    generated = describe_generated(trained, labels, protocol.seed, extract, protocol.batch_size, masks=masks)
    if generated.not_finite == len(generated):
        raise UserError(f'{workdir}: no generated image is finite; evaluate an earlier checkpoint (--step).')
    generated = in_units(generated, reals.units)
    names, groups = extractor.classes, reals.group_count
    _LOGGER.info('%s: scores of %d images.', workdir, len(generated))
    scores = scoring.measure(generated, reals.reference, groups, names)
    scores |= scoring.measure_memory(generated, reals.held_out, reals.training, groups)
    at_floor, few = scores, len(reals.held_out)
    if few < len(generated):
        _LOGGER.info('%s: scores of %d images, as many as are held out.', workdir, few)
        at_floor = scoring.measure(generated.fewer(few), reals.reference, groups, names)
    classes = trained.facts.classes if num_classes else ()
    by_class = {name: _measure_class(number, name, generated, reals) for number, name in enumerate(classes)}
    published = scoring.measure_as_published(generated, reals.reference, names)
    mask_scores = {} if masks is None else {'generated': masks.score(groups), **real_masks.score(trained)}
    agreement = None
    if masks is not None and reals.segmenter is not None:
        agreement = reals.segmenter.judge(masks.pairs(), groups, real=False)
    return Evaluated(run, generated, scores, at_floor, by_class, published, mask_scores, agreement)


def _at_most(described: ImageStatistics, count: int) -> ImageStatistics:
    return described if len(described) <= count else described.fewer(count)


def _measure_class(label: int, name: str, generated: ImageStatistics, reals: Reals) -> ClassScores:
    """Scores by features within one class, beside their floor."""
    _LOGGER.info('Class %s:', name)
    drawn, reference, held_out = (
        each.select(np.flatnonzero(each.labels == label)) for each in (generated, reals.reference, reals.held_out)
    )
    largest = reals.group_count
    scores = _measure_members('generated', drawn, reference, largest)
    floor = _measure_members('held-out', _at_most(held_out, len(drawn)), reference, largest)
    at_floor = scores
    if len(held_out) < len(drawn):
        few = _at_most(drawn, len(held_out))
        at_floor = _measure_members('generated', few, reference, largest) if len(few) else {}
    return ClassScores(scores, at_floor, floor)


def _measure_members(kind: str, judged: ImageStatistics, reference: ImageStatistics, largest: int) -> Scores:
    """Scores by features of the images of one class, with a jackknife of its own."""
    for name, described in (('reference', reference), (kind, judged)):
        if not len(described):
            return dict.fromkeys(scoring.BY_FEATURES, Missing(f'has no {name} image of this class.'))
    group_count = min(largest, count_groups(judged.owners, reference.owners))
    if group_count < 2:
        return dict.fromkeys(scoring.BY_FEATURES, Missing(f'has one patient or one {kind} image of this class.'))
    return scoring.measure_features(judged, reference, group_count)
