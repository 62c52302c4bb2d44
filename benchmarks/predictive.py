"""Which score predicts use? Generators of several families and lengths, scored, and used to train a classifier.

    python -m benchmarks.predictive --data=mednist --out=runs/predictive
    python -m benchmarks.predictive --data=mednist --out=runs/predictive_mixed --real_fraction=0.01

Every member of the zoo that is named is trained once, with classes, and looked at after an eighth, three eighths
and all of its images. Of each of these generators the scores of `gan.evaluate` are measured against the training
split, in features of a classifier of real images, in random ones and in radiomics. Then a classifier is trained on
images that the generator draws, alone or beside a share of the real ones, and asked of the real test split. What
is printed is Spearman's correlation, over the generators, between how good a score says that they are and the
accuracy that they bring, with a 95% interval from resampled generators. Generators of one training are alike, so
that the interval is rather too narrow.

What is done in --out is not done again: a cell is a file, and the same command goes on after a kill. `--analyse`
prints the table of the cells that there are.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from absl import flags
from jaxtyping import Float64, Int
from ml_collections import ConfigDict

import input_pipeline
from backbones import train as classifiers
from backbones.classifier import CLASSIFIER_FILE
from backbones.extractors import Extractor
from benchmarks import machine
from benchmarks.zoo.members import MEMBERS, create_config
from configs.backbones import classifier
from foundation.statistics.jackknife import count_groups
from foundation.statistics.percentiles import Score, percentile_interval
from foundation.training import launch
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan import train as generators
from gan.evaluation import scoring
from gan.evaluation.extractors import RANDOM, create_extractor
from gan.evaluation.report import describe_score
from gan.evaluation.sets import create_extract, describe_generated, describe_reals, draw_labels
from gan.evaluation.statistics import find_units, in_units
from gan.families import FAMILIES
from gan.generator import TrainedGenerator
from gan.sampler import draw_images, labels_in_turn
from input_pipeline import derive

_DATA = flags.DEFINE_string('data', None, 'Name of a prepared data set with classes.')
_DATA_DIR = flags.DEFINE_string('data_dir', '', 'Folder of data sets; the usual one by default.')
_OUT = flags.DEFINE_string('out', 'runs/predictive', 'Folder of all runs and cells.')
_MEMBERS = ('vanilla_conditional', 'dcgan_conditional', 'conditional_projection', 'r3gan')
_CHOSEN = flags.DEFINE_list('members', list(_MEMBERS), 'Members of the zoo that do not grow.')
_LENGTH = flags.DEFINE_integer('length', 16_000, 'Images that each generator is trained on.', 256)
_NUM = flags.DEFINE_integer(
    'num', 1_000, 'Generated images that are scored.', 500
)  # radiomics need 387 in a replicate
_DRAWN = flags.DEFINE_integer('drawn', 1_200, 'Generated images that a classifier is trained on.', 16)
_EPOCHS = flags.DEFINE_integer('epochs', 6, 'Passes of that classifier over its images.', 1)
_REAL = flags.DEFINE_float('real_fraction', 0.0, 'Share of the real training images beside them.', 0.0, 1.0)
_ANALYSE = flags.DEFINE_bool('analyse', False, 'Train and measure nothing; print the table of what there is.')
_RESOLUTION = 32
_EIGHTHS = (1, 3, 8)  # of the length, after which a generator is looked at
_RESAMPLES = 2_000
_FEWEST = 6  # generators
_BATCH = 128
_REALS = 'reals'  # the data set at this size
_EXTRACTORS = {'classifier': '', RANDOM: ' (random features)', 'radiomics': ' (radiomics)'}
Goodness = Float64[np.ndarray, ' generator']


@dataclasses.dataclass(frozen=True)
class Terms:
    """What may not change within one folder; the members may."""

    data: str
    length: int
    num: int
    drawn: int
    epochs: int
    real_fraction: float


def main(argv: Sequence[str]) -> None:
    """Trains and measures what is missing, then prints the table."""
    launch.reject_arguments(argv)
    out = Path(_OUT.value)
    if not _ANALYSE.value:
        if not _DATA.value:
            raise UserError('--data is missing; name a prepared data set with classes.')
        terms = Terms(_DATA.value, _LENGTH.value, _NUM.value, _DRAWN.value, _EPOCHS.value, _REAL.value)
        _keep_terms(out, terms)
        launch.start_jax_alone('benchmarks.predictive')
        _fill_cells(out, terms, _check_names(_CHOSEN.value))
    cells = [workdirs.read_json(path.parent, path.name) for path in sorted((out / 'cells').glob('*.json'))]
    if len(cells) < _FEWEST:
        raise UserError(
            f'{out / "cells"} holds {len(cells)} generators, of which ranks say nothing; measure more.'
        )
    print(machine.describe('predictive'))
    for line in tabulate(cells):
        print(line)


def _keep_terms(out: Path, terms: Terms) -> None:
    ours = dataclasses.asdict(terms)
    if not (out / 'terms.json').exists():
        out.mkdir(parents=True, exist_ok=True)
        workdirs.write_json(out / 'terms.json', ours)
    if workdirs.read_json(out, 'terms.json') != ours:
        raise UserError(f'{out} was begun with other flags, so cells would not compare; take another --out.')


def _check_names(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in MEMBERS or FAMILIES[MEMBERS[name].create_config().architecture].grows:
            raise UserError(f'--members={name} is none that does not grow; choose among {", ".join(MEMBERS)}.')
    return list(names)


def _fill_cells(out: Path, terms: Terms, names: Sequence[str]) -> None:
    """All generators first, then the cells, those of the shortest trainings first."""
    data_dir = (out / 'data').absolute()
    _derive(data_dir, _REALS, Path(input_pipeline.find_data_dir(_DATA_DIR.value)), source=terms.data)
    _classify(_REALS, data_dir, out / 'classifier', terms.epochs)
    for name in names:
        generators.train_and_evaluate(_configure(name, terms, data_dir), out / name)
    extractors = {
        name: create_extractor(str(out / 'classifier') if name == 'classifier' else name) for name in _EXTRACTORS
    }
    for eighths in _EIGHTHS:
        for name in names:
            cell = out / 'cells' / f'{name}-{eighths}.json'
            if not cell.exists():
                trained = TrainedGenerator.load(out / name, _find_step(out / name, eighths))
                scores = _score(trained, extractors, terms.num)
                accuracy = _use(trained, f'{name}_{eighths}', out, terms)
                found = {'name': name, 'images': trained.position.images_seen, 'accuracy': accuracy}
                workdirs.write_json(cell, found | {'scores': scores})
                print(f'{cell.stem}: accuracy {accuracy["value"]:.3f}', flush=True)


def _derive(data_dir: Path, name: str, source_dir: Path, **fields: Any) -> None:
    """A data set out of others, unless it is there."""
    if (data_dir / name).exists():
        return
    plain: dict[str, Any] = dict.fromkeys(('fold', 'folds', 'block', 'seed'), 0)
    plain |= {'train_fraction': 1.0, 'repeat': 1, 'resolution': _RESOLUTION, 'added': '', 'added_ratio': 0.0}
    plain |= {'added_only': False, 'shuffle_masks': False, 'licence': ''}
    target = input_pipeline.Target(name, data_dir, overwrite=False)
    derive.derive_dataset(derive.Derivation(**plain | fields), source_dir, target)


def _configure(name: str, terms: Terms, data_dir: Path) -> ConfigDict:
    """The zoo's recipe, with classes, for so many images, and checkpoints that stay."""
    config = create_config(MEMBERS[name], _RESOLUTION, ConfigDict({'name': _REALS, 'data_dir': str(data_dir)}))
    config.conditional = True
    config.schedule.initial_resolution, config.schedule.fade_images = 0, 0
    config.schedule.stable_images, config.schedule.final_images = terms.length, 0
    config.schedule.final_epochs, config.watch.images = 0, 0
    if config.anneal.images:
        config.anneal.images = terms.length
    config.run.checkpoint_images = terms.length // max(_EIGHTHS)
    config.run.checkpoints_to_keep = 2 * max(_EIGHTHS)
    config.run.sample_images = terms.length
    return config


def _find_step(workdir: Path, eighths: int) -> int:
    """The checkpoint that is nearest to a share of the training."""
    steps = sorted(int(path.name) for path in (workdir / 'checkpoints').iterdir() if path.name.isdigit())
    return min(steps, key=lambda step: abs(step - steps[-1] * eighths / max(_EIGHTHS)))


def _score(trained: TrainedGenerator, extractors: Mapping[str, Extractor], count: int) -> dict[str, Any]:
    """Every score of the images against the training split: those by features in each kind of features."""
    scores: dict[str, Any] = {}
    for name, extractor in extractors.items():
        extract = create_extract(extractor, _BATCH)
        reference = describe_reals(trained, trained.recipe.split, extractor, extract, _BATCH)
        labels = draw_labels(reference, count, trained.image_format.num_classes, seed=0)
        drawn = describe_generated(trained, labels, 0, extract, _BATCH)
        units = find_units(reference) if extractor.measures else None
        drawn, reference = in_units(drawn, units), in_units(reference, units)
        groups = count_groups(reference.owners, np.arange(count))
        if name == 'classifier':
            measured = scoring.measure(drawn, reference, groups, extractor.classes)
        else:
            measured = scoring.measure_features(drawn, reference, groups)
        kept = {score: value for score, value in measured.items() if score in scoring.MEANINGS}
        scores |= {f'{score}{_EXTRACTORS[name]}': describe_score(value) for score, value in kept.items()}
    return scores


def _use(trained: TrainedGenerator, name: str, out: Path, terms: Terms) -> dict[str, Any]:
    """The accuracy on real test images of a classifier that these images train, with its interval by patient."""
    data_dir, drawn, mixed = (out / 'data').absolute(), f'drawn_{name}', f'mixed_{name}'
    if not (data_dir / drawn).exists():
        _write_drawn(trained, terms.drawn, input_pipeline.Target(drawn, data_dir, overwrite=False))
    reals = trained.facts.num_examples * (terms.real_fraction or 1.0)
    added = {'added': drawn, 'added_ratio': terms.drawn / reals, 'added_only': not terms.real_fraction}
    _derive(data_dir, mixed, data_dir, source=_REALS, train_fraction=terms.real_fraction or 1.0, **added)
    return _classify(mixed, data_dir, out / 'classifiers' / name, terms.epochs)


def _write_drawn(trained: TrainedGenerator, count: int, target: input_pipeline.Target) -> None:
    """Generated images, classes in turn, as a data set; others than those that are scored."""
    labels, dtype = labels_in_turn(count, trained.image_format.num_classes, None), np.dtype(trained.facts.dtype)
    batches = draw_images(trained, labels, seed=1, batch_size=_BATCH)
    images = np.concatenate([input_pipeline.from_unit(np.nan_to_num(each.images), dtype) for each in batches])
    generated = input_pipeline.Generated(
        dtype='uint8' if dtype == np.uint8 else 'uint16',
        channels=images.shape[-1],
        modality='',
        intensity=None,
        spacing=None,
        licence='',
        recorded={'source': 'benchmarks.predictive', 'synthetic': 'yes'},
    )
    rows = [
        (f'drawn-{number:06d}', trained.facts.classes[label], functools.partial(_read, image))
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    input_pipeline.write_generated(rows, target, generated)


def _read(image: np.ndarray) -> tuple[np.ndarray, None]:
    return image, None


def _classify(name: str, data_dir: Path, workdir: Path, epochs: int) -> dict[str, Any]:
    """Trains the small classifier on a data set; its accuracy on the test split."""
    config = classifier.get_config()
    config.resolution, config.schedule.epochs = _RESOLUTION, epochs
    config.data.name, config.data.data_dir = name, str(data_dir)
    classifiers.train_and_evaluate(config, workdir)
    return workdirs.read_json(workdir, CLASSIFIER_FILE)['test']['accuracy']


def tabulate(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Two Markdown tables: the generators, and how each score goes with the accuracy, the highest first."""
    accuracy = np.array([cell['accuracy']['value'] for cell in cells])
    lines = ['| generator | images | accuracy |', '| --- | --- | --- |']
    for cell in cells:
        low, high = cell['accuracy']['interval']
        told = f'{cell["accuracy"]["value"]:.3f} [{low:.3f}, {high:.3f}]'
        lines.append(f'| {cell["name"]} | {cell["images"]:,} | {told} |')
    lines += ['', '| score | generators | rank correlation with accuracy |', '| --- | --- | --- |']
    rows = []
    for name in cells[0]['scores']:
        values = np.array([goodness(name, cell['scores'][name]['value']) for cell in cells])
        known = np.isfinite(values)
        rows.append((correlate(values[known], accuracy[known]), name, int(known.sum())))
    rows.sort(key=lambda row: (row[0].value is None, -(row[0].value or 0.0)))
    return lines + [f'| {_title(name)} | {count} | {_tell(score)} |' for score, name, count in rows]


def goodness(name: str, value: float | None) -> float:
    """How good a generator is by a score: higher is better; NaN where there is none.

    Of scores that should be as real images have them, which are differences here, the smaller the better.
    """
    if value is None:
        return float('nan')
    better = scoring.MEANINGS[name.partition(' (')[0]].better
    return {'lower': -value, 'higher': value, 'floor': -abs(value)}[better]


def correlate(one: Goodness, other: Goodness) -> Score:
    """Spearman's rank correlation, with a 95% percentile interval from resampled generators."""
    if len(one) < 3:
        return Score(None, None, None)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(one), (_RESAMPLES, len(one)))
    replicates = np.array([_spearman(one, other, chosen) for chosen in draws])
    return percentile_interval(_spearman(one, other, np.arange(len(one))), replicates, len(one))


def _spearman(one: Goodness, other: Goodness, chosen: Int[np.ndarray, ' some']) -> float:
    """NaN where all are alike; ties have their mean rank."""
    ranks = [scipy.stats.rankdata(side[chosen]) for side in (one, other)]
    if any(np.ptp(side) == 0 for side in ranks):
        return float('nan')
    return float(np.corrcoef(*ranks)[0, 1])


def _title(name: str) -> str:
    score, bracket, rest = name.partition(' (')
    features = bracket + rest if bracket else ' (classifier)' if score in scoring.BY_FEATURES else ''
    return scoring.MEANINGS[score].title + features


def _tell(score: Score) -> str:
    if score.value is None:
        return 'undefined'
    return f'{score.value:.2f}' + ('' if score.low is None else f' [{score.low:.2f}, {score.high:.2f}]')


if __name__ == '__main__':
    launch.run_command(
        main, packages=('gan', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
