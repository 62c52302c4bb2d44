"""How wrong translated images are where the truth is known, beside what needs no network."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Float32, Int

import input_pipeline
from foundation.statistics.resampling import Mean, bootstrap_mean
from gan.domains import open_domains
from gan.samples import read_reals
from gan.scores.structure import ms_ssim
from gan.translation.translator import Translator

Images = Float32[np.ndarray, 'count height width channels']
Draw = Callable[[Images], Images]
METRICS = {  # what each is, in words
    'error': 'mean absolute error inside the body, in units of the target',
    'psnr': 'peak signal to noise ratio in dB, over the window of the target',
    'ms_ssim': 'multi-scale structural similarity',
    'lost': 'lesions lost of 100: those that have less than half of their contrast in the truth',
}
_BOUNDS = {'error': (0, math.inf), 'psnr': (-math.inf, math.inf), 'ms_ssim': (0, 1), 'lost': (0, 100)}
_BATCH, _FITTED = 32, 256  # images at a time, and those whose grey levels are matched
_BACKGROUND = -0.9  # the lowest 5% of a window
_RESAMPLES, _SEED, _LEVEL = 10_000, 0, 0.95
_LEAST = 1e-6  # root mean square difference below which images are equal
_RING = 2  # pixels around a lesion that it stands out from


@dataclasses.dataclass(frozen=True)
class PairReport:
    """What was found on the pairs of a split.

    Attributes:
      images, patients: that were measured.
      scores: by method (`translated`, `identity`, `histogram`) and metric, the mean over patients.
    """

    images: int
    patients: int
    scores: Mapping[str, Mapping[str, Mean]]


def find_body(truth: Images) -> Bool[np.ndarray, 'count height width']:
    """What is brighter than the lowest 5% of the window, without holes; all of an image that has nothing such."""
    filled = np.stack([scipy.ndimage.binary_fill_holes(own.mean(axis=-1) > _BACKGROUND) for own in truth])
    return filled | ~filled.any(axis=(1, 2), keepdims=True)


def score_images(
    drawn: Images, truth: Images, lesions: Bool[np.ndarray, 'count height width'], window: tuple[float, float]
) -> dict[str, Float[np.ndarray, ' count']]:
    """The metrics of each image; no lesion is lost, but NaN, where there is none.

    Args:
      drawn, truth: in [-1, 1].
      lesions: where they are in the truth.
      window: values of -1 and 1.
    """
    difference, body = np.abs(drawn - truth).mean(axis=-1), find_body(truth)
    inside = (difference * body).sum(axis=(1, 2)) / body.sum(axis=(1, 2))
    root = np.sqrt(np.square(drawn - truth).mean(axis=(1, 2, 3)))
    return {
        'error': inside * abs(window[1] - window[0]) / 2,
        'psnr': 20 * np.log10(2 / np.maximum(root, _LEAST)),
        'ms_ssim': np.asarray(ms_ssim(jnp.asarray(drawn), jnp.asarray(truth)), np.float64),
        'lost': np.array([100 * _is_lost(*rows) for rows in zip(drawn, truth, lesions, strict=True)]),
    }


def _is_lost(
    drawn: Float32[np.ndarray, 'height width channels'],
    truth: Float32[np.ndarray, 'height width channels'],
    lesion: Bool[np.ndarray, 'height width'],
) -> float:
    """1 where less than half of the contrast of a lesion to its surroundings is left, 0 otherwise."""
    ring = scipy.ndimage.binary_dilation(lesion, iterations=_RING) & ~lesion
    if not lesion.any() or not ring.any():
        return math.nan
    wanted, found = (own[lesion].mean() - own[ring].mean() for own in (truth, drawn))
    return float(found * np.sign(wanted) < abs(wanted) / 2)


def match_levels(source: Images, target: Images) -> Draw:
    """Histogram matching: grey levels of the source become those of the target at the same quantile of all."""
    ranks = np.linspace(0, 1, 1025)
    levels, matched = (np.quantile(images, ranks) for images in (source, target))
    kept = np.concatenate([[True], np.diff(levels) > 0])
    return lambda images: np.interp(images, levels[kept], matched[kept]).astype(np.float32)


def evaluate_pairs(translator: Translator, split: str) -> PairReport:
    """Measures all pairs of a split that are registered.

    Raises:
      DataError: when the data are missing, or no images are pairs.
    """
    recipe, target = translator.run.recipe, translator.target
    assert recipe.target is not None  # of a run that translates
    content = input_pipeline.find_content(recipe.target.name, recipe.target.data_dir)
    form = dataclasses.replace(recipe.target.preprocessing, mask_classes=content.mask_classes if content else 0)
    masked = dataclasses.replace(recipe.target, preprocessing=form)
    pairs = open_domains(recipe.images, masked, split, training=False, paired=True)
    train = open_domains(recipe.images, recipe.target, recipe.split, training=False, paired=False)
    fitted = [read_reals(own, recipe.resolution, _FITTED)[0] for own in (train.source, train.target)]
    methods: dict[str, Draw] = {
        'translated': translator.translate_squares,
        'identity': lambda images: images,
        'histogram': match_levels(*fitted),
    }
    found: dict[str, dict[str, list[np.ndarray]]] = {name: {metric: [] for metric in METRICS} for name in methods}
    patients = []
    with (
        contextlib.closing(pairs.source.in_order(recipe.resolution, _BATCH)) as sources,
        contextlib.closing(pairs.target.in_order(recipe.resolution, _BATCH)) as truths,
    ):
        for source, truth in zip(sources, truths, strict=True):
            patients.append(source['patient'])
            image, ids = input_pipeline.split_masks(truth['image'], form.channels, form.mask_classes)
            for name, draw in methods.items():
                values_of = score_images(draw(source['image']), image, ids[..., 0] > 0, target.window)
                for metric, values in values_of.items():
                    found[name][metric].append(values)
    owners = np.unique(np.concatenate(patients), return_inverse=True)[1]
    scores = {
        name: {metric: _average(np.concatenate(parts), owners) for metric, parts in measured.items()}
        for name, measured in found.items()
    }
    return PairReport(len(owners), int(owners.max()) + 1, scores)


def _average(values: Float[np.ndarray, ' count'], owners: Int[np.ndarray, ' count']) -> Mean:
    """Over patients, each of whom counts as one, with an interval by resampling them."""
    known = np.isfinite(values)
    counts = np.bincount(owners, known)
    means = np.bincount(owners, np.where(known, values, 0)) / np.where(counts > 0, counts, np.nan)
    return bootstrap_mean(means[:, None], resamples=_RESAMPLES, seed=_SEED)


def describe_pairs(report: PairReport) -> dict[str, Any]:
    """A report as JSON has it; intervals are null where there are too few patients."""
    scores: dict[str, dict[str, Any]] = {}
    for name, own in report.scores.items():
        scores[name] = {}
        for metric, mean in own.items():
            scores[name][metric] = {'value': mean.value, 'interval': _interval(metric, mean)}
    return {'images': report.images, 'patients': report.patients, 'metrics': METRICS, 'scores': scores}


def _interval(metric: str, mean: Mean) -> list[float] | None:
    """Within what the metric can be; None where there are too few patients."""
    if mean.distribution is None:
        return None
    return np.clip(mean.distribution.interval(_LEVEL), *_BOUNDS[metric]).tolist()


def tabulate_pairs(report: PairReport) -> str:
    """The same as lines for people."""
    lines = [f'{report.images} pairs of {report.patients} patients; mean over patients with its 95% interval.']
    for metric, meaning in METRICS.items():
        lines.append(f'{meaning}:')
        for name, own in report.scores.items():
            mean = own[metric]
            interval = _interval(metric, mean)
            ends = mean.reason if interval is None else '[{:.4g}, {:.4g}]'.format(*interval)
            value = 'unknown' if mean.value is None else f'{mean.value:.4g}'
            lines.append(f'  {name:<11} {value} {ends}')
    return '\n'.join(lines)
