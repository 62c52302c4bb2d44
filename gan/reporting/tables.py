"""Runs side by side in tables: what they are, and in which fields of their configs they differ."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from configs.gan.schema import SECTIONS
from gan.differential_privacy.ledger import read_spent
from gan.reporting.runs import ReportedRun
from gan.watch import SCORE
from gan.weights import is_exported, read_description

_MAIN_GROUPS = (*SECTIONS, 'loss', 'optimizer', 'average', 'augment', 'schedule', 'watch')
_ABSENT = 'no such field'


def summarize(runs: Sequence[ReportedRun]) -> list[list[str]]:
    """Rows of a table with a column for each run."""
    rows = {
        'folder': lambda run: str(run.workdir),
        'data': lambda run: f'{run.facts.name} ({run.recipe.split})',
        'images, patients': lambda run: f'{run.facts.num_examples:,} of {run.facts.num_patients:,} patients',
        'classes': lambda run: ', '.join(run.facts.classes) or 'none',
        'drawn': _describe_images,
        'architecture': lambda run: run.recipe.architecture,
        'loss': _describe_loss,
        'augmentation': _describe_augmentation,
        'parameters': _count_parameters,
        'differential privacy': _describe_privacy,
        'images seen': _describe_progress,
        f'last {SCORE}': _describe_last_score,
        f'best {SCORE}': _describe_best_score,
        'collapses': _describe_collapses,
        'time': lambda run: _describe_seconds(run.seconds()),
        'machine': lambda run: run.machine() or 'unknown',
    }
    return [[title, *(describe(run) for run in runs)] for title, describe in rows.items()]


def differing_fields(runs: Sequence[ReportedRun]) -> list[list[str]]:
    """Rows of the fields that are not the same in all configs, with a value for each run."""
    configs = [flatten(run.recipe.fields) for run in runs]
    names = sorted({name for config in configs for name in config})
    rows = [[name, *(_text(config[name]) if name in config else _ABSENT for config in configs)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def main_fields(run: ReportedRun) -> list[list[str]]:
    """Rows of the groups of fields that decide what is trained and how."""
    return [
        [
            group,
            ', '.join(f'{name} {_text(value)}' for name, value in flatten(run.recipe.fields[group]).items()),
        ]
        for group in _MAIN_GROUPS
        if group in run.recipe.fields
    ]


def flatten(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """All values of a config, by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= flatten(value, f'{prefix}{name}.') if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return '(' + ', '.join(map(_text, value)) + ')'
    return repr(value) if value == '' else str(value)


def _describe_images(run: ReportedRun) -> str:
    form, size = run.image_format, run.recipe.resolution
    masks = f', masks of {form.mask_classes} classes' if form.mask_classes else ''
    condition = 'conditional' if form.num_classes else 'not conditional'
    return f'{size} x {size} x {form.channels}{masks}, {condition}'


def _describe_loss(run: ReportedRun) -> str:
    loss = run.recipe.objective
    penalty = f'{loss.penalty} x {loss.penalty_weight:g}' if loss.penalty != 'none' else 'no penalty'
    return f'{loss.name}, {penalty}'


def _describe_augmentation(run: ReportedRun) -> str:
    recipe = run.recipe
    operations, adaptation = recipe.augmentation.operations, recipe.adaptation
    if not operations:
        return 'none'
    fixed = f'probability {recipe.augmentation_probability:g}'
    how = fixed if adaptation is None else f'adaptive, target {adaptation.target:g}'
    return f'{", ".join(operations)}; {how}'


def _describe_privacy(run: ReportedRun) -> str:
    if run.recipe.privacy is None:
        return 'none'
    if is_exported(run.workdir):
        return str(read_description(run.workdir).privacy)
    return str(read_spent(run.workdir, run.images_seen))


def _count_parameters(run: ReportedRun) -> str:
    state = run.recipe.abstract_state(run.recipe.resolution, run.image_format)
    counts = {
        name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(network.params))
        for name, network in state.networks.items()
    }
    return ', '.join(f'{name} {counts[name]:,}' for name in run.recipe.family.sides if name in counts)


def _describe_progress(run: ReportedRun) -> str:
    share = run.images_seen / run.images_planned
    return f'{run.images_seen:,} of {run.images_planned:,} ({share:.0%}), {run.epochs(run.images_seen):.3g} epochs'


def _describe_last_score(run: ReportedRun) -> str:
    measured = run.scores()
    if not measured:
        return 'not measured' if run.recipe.watch.images else 'not watched'
    last = max(measured)
    return f'{measured[last]:.4g} at {last:,} images'


def _describe_best_score(run: ReportedRun) -> str:
    """The shortest distance of the last stage: before, images were smaller."""
    measured = {images: score for images, score in run.scores().items() if images > run.stages[-1].start}
    if not measured:
        return 'none yet'
    best = min(measured, key=measured.__getitem__)
    return f'{measured[best]:.4g} at {best:,} images'


def _describe_collapses(run: ReportedRun) -> str:
    seen = run.collapses()
    return f'{len(seen)}, the last at {seen[-1]:,} images' if seen else 'none seen'


def _describe_seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes} min'
    return f'{minutes} min {rest} s' if minutes else f'{rest} s'
