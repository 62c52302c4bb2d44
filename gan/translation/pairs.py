"""How wrong translated images are where the truth is known, beside what needs no network."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

import input_pipeline
from backbones.images import ImageRequest
from foundation.statistics.resampling import Mean, bootstrap_mean
from foundation.training.errors import UserError
from gan.domains import open_domains
from gan.samples import read_reals
from gan.translation.measures import BOUNDS, METRICS, Draw, LesionLook, look_at_lesions, match_levels, score_images
from gan.translation.translator import Translator
from gan.translation.worst import WorstPairs

Requests = tuple[ImageRequest, ImageRequest]  # source and target
_BATCH, _FITTED = 32, 256  # images at a time, and those whose grey levels are matched
_LOOKED_AT = 1_000  # true images, for their lesions
_RESAMPLES, _SEED, _LEVEL = 10_000, 0, 0.95


@dataclasses.dataclass(frozen=True)
class PairReport:
    """What was found on the pairs of a split.

    Attributes:
      images, patients: that were measured.
      scores: by method (`translated`, `identity`, `histogram`) and metric, the mean over patients.
      worst: the translations with the largest errors, see `WorstPairs`.
    """

    images: int
    patients: int
    scores: Mapping[str, Mapping[str, Mean]]
    worst: UInt8[np.ndarray, 'height width 3']


def list_methods(translator: Translator, learnt: Requests) -> dict[str, Draw]:
    """The translator, and what needs no network: nothing, and matched grey levels of the training images.

    Args:
      translator: of a run.
      learnt: source and target that it was trained on.
    """
    recipe = translator.run.recipe
    train = open_domains(*learnt, recipe.split, training=False, paired=False)
    fitted = [read_reals(own, recipe.resolution, _FITTED)[0] for own in (train.source, train.target)]
    return {
        'translated': translator.translate_squares,
        'identity': lambda images: images,
        'histogram': match_levels(*fitted),
    }


def request_pairs(translator: Translator, names: Sequence[str]) -> Requests:
    """Source and target in two other data sets of these names, seen in the windows of the training."""
    recipe = translator.run.recipe
    assert recipe.target is not None  # of a run between two domains
    requests = []
    for request, name, domain in zip(
        (recipe.images, recipe.target), names, (translator.source, translator.target), strict=True
    ):
        low, high = sorted(domain.window)
        form = dataclasses.replace(request.preprocessing, window=(low, high))
        requests.append(
            dataclasses.replace(request, name=name, preprocessing=form, modalities=(), classes=(), phantom=None)
        )
    return requests[0], requests[1]


def check_unseen(translator: Translator, measured: Requests, split: str) -> None:
    """Raises UserError where patients of a split of other sets are among those of the training."""
    recipe = translator.run.recipe
    assert recipe.target is not None  # of a run between two domains
    seen, shown = (
        [own.open(part, flip=False, in_memory=False) for own in requests]
        for requests, part in (((recipe.images, recipe.target), recipe.split), (measured, split))
    )
    if not all(own.patients_known for own in (*seen, *shown)):
        return
    trained, told = ({name for own in images for name in own.records.patients} for images in (seen, shown))
    if both := trained & told:
        names = ', '.join(own.name for own in measured)
        raise UserError(
            f'{len(both)} of {len(told)} patients in the split {split!r} of {names} were in the training; name '
            'sets of others (--pairs), or another split (--held_out).'
        )


def evaluate_pairs(
    translator: Translator, methods: Mapping[str, Draw], measured: Requests, split: str
) -> PairReport:
    """Measures all pairs of a split that are registered.

    Args:
      translator: of a run.
      methods: what is measured, see `list_methods`.
      measured: source and target whose pairs are measured.
      split: of these.

    Raises:
      DataError: when the data are missing.
      NoPairsError: when no images are pairs.
    """
    source, target = measured
    resolution = translator.run.recipe.resolution
    content = input_pipeline.find_content(target.name, target.data_dir)
    form = dataclasses.replace(target.preprocessing, mask_classes=content.mask_classes if content else 0)
    masked = dataclasses.replace(target, preprocessing=form)
    pairs = open_domains(source, masked, split, training=False, paired=True)
    look, worst = _look_at_lesions(pairs.target), WorstPairs()
    found: dict[str, dict[str, list[np.ndarray]]] = {name: {metric: [] for metric in METRICS} for name in methods}
    with (
        contextlib.closing(pairs.source.in_order(resolution, _BATCH)) as sources,
        contextlib.closing(pairs.target.in_order(resolution, _BATCH)) as truths,
    ):
        for shown, truth in zip(sources, truths, strict=True):
            image, ids = input_pipeline.split_masks(truth['image'], form.channels, form.mask_classes)
            for name, draw in methods.items():
                drawn = draw(shown['image'])
                measures = score_images(drawn, image, ids[..., 0] > 0, look, translator.target.window)
                for metric, values in measures.items():
                    found[name][metric].append(values)
                if name == 'translated':
                    worst.add(measures['error'], shown['image'], drawn, image)
    patients = np.asarray(pairs.source.records.patients)
    scores = {
        name: {metric: average([np.concatenate(parts)], [patients]) for metric, parts in measured.items()}
        for name, measured in found.items()
    }
    return PairReport(len(patients), len(np.unique(patients)), scores, worst.draw())


def _look_at_lesions(truths: input_pipeline.ImageData) -> LesionLook:
    form = truths.preprocessing
    joined, _ = read_reals(truths, form.resolution, min(truths.num_examples, _LOOKED_AT))
    image, ids = input_pipeline.split_masks(joined, form.channels, form.mask_classes)
    return look_at_lesions(image, ids[..., 0] > 0)


def average(values: list[Float[np.ndarray, ' _']], patients: list[np.ndarray]) -> Mean:
    """Over patients, each of whom counts as one, with an interval by resampling them; then over what is listed.

    Args:
      values: of the images of each thing that is listed; NaN where one has none.
      patients: of the same images.
    """
    names, owners = np.unique(np.concatenate(patients), return_inverse=True)
    columns, start = [], 0
    for own in values:
        of, known, start = owners[start : start + len(own)], np.isfinite(own), start + len(own)
        counts = np.bincount(of, known, len(names))
        columns.append(np.bincount(of, np.where(known, own, 0), len(names)) / np.where(counts > 0, counts, np.nan))
    return bootstrap_mean(np.stack(columns, axis=1), resamples=_RESAMPLES, seed=_SEED)


def describe_pairs(report: PairReport) -> dict[str, Any]:
    """A report as JSON has it; intervals are null where there are too few patients."""
    scores = {
        name: {metric: describe_mean(mean, *BOUNDS[metric]) for metric, mean in own.items()}
        for name, own in report.scores.items()
    }
    return {'images': report.images, 'patients': report.patients, 'metrics': METRICS, 'scores': scores}


def describe_mean(mean: Mean, low: float, high: float) -> dict[str, Any]:
    """Its value, and its interval within what it can be; None where it is not known."""
    interval = None
    if mean.distribution is not None:
        interval = np.clip(mean.distribution.interval(_LEVEL), low, high).tolist()
    return {'value': mean.value, 'interval': interval}


def tell_mean(mean: Mean, low: float, high: float) -> str:
    """The same for people, with the reason where something is missing."""
    described = describe_mean(mean, low, high)
    value, interval = described['value'], described['interval']
    ends = mean.reason if interval is None else '[{:.4g}, {:.4g}]'.format(*interval)
    return f'{"unknown" if value is None else format(value, ".4g")} {ends}'


def tabulate_pairs(report: PairReport) -> str:
    """A report as lines for people."""
    lines = [f'{report.images} pairs of {report.patients} patients; mean over patients with its 95% interval.']
    for metric, meaning in METRICS.items():
        lines.append(f'{meaning}:')
        lines += [f'  {name:<11} {tell_mean(own[metric], *BOUNDS[metric])}' for name, own in report.scores.items()]
    return '\n'.join(lines)
