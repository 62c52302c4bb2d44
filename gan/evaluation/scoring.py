"""All scores of one set of images against another, by name, each an estimate or the reason why there is none."""

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from foundation.statistics.jackknife import FeatureSample, Missing, Score, Spread, difference
from gan.evaluation.statistics import ImageStatistics
from gan.scores import classification, gaussian, intensities, kernel, memorisation, neighbours, patches, structure

_LOGGER = logging.getLogger(__name__)
_PAIRS = 10_000  # of MS-SSIM
_PATCH_IMAGES = 512  # of the sliced Wasserstein distance, whose time grows with them
_CELLS = 10  # of the copying score
NO_FLOOR = Missing('has no floor: 0 is expected of real images.')
_NO_CLASSES = Missing('needs class probabilities: name a classifier as --extractor.')
_SEED = 0  # of patches, pairs, subsets and cells: the same for all that is compared


@dataclasses.dataclass(frozen=True)
class Meaning:
    """How a score is to be read.

    Attributes:
      title: for people.
      better: which values are better; `floor`: those near that of real images.
      digits: behind the point.
    """

    title: str
    better: Literal['lower', 'higher', 'floor']
    digits: int


MEANINGS = {
    'frechet_distance': Meaning('Frechet distance', 'lower', 3),
    'kernel_distance': Meaning('kernel distance', 'lower', 5),
    'precision': Meaning('precision', 'higher', 3),
    'recall': Meaning('recall', 'higher', 3),
    'density': Meaning('density', 'higher', 3),
    'coverage': Meaning('coverage', 'higher', 3),
    'inception_score': Meaning('Inception Score', 'higher', 3),
    'mode_score': Meaning('Mode Score', 'higher', 3),
    'mode_score_identity': Meaning('Mode Score, as commonly written', 'higher', 3),
    'mode_score_reversed': Meaning('Mode Score, KL reversed', 'higher', 3),
    'am_score': Meaning('AM Score', 'lower', 3),
    'swd': Meaning('sliced Wasserstein x1000, normalised', 'lower', 2),
    'swd_intensity_aware': Meaning('sliced Wasserstein x1000, intensity-aware', 'lower', 2),
    'ms_ssim': Meaning('MS-SSIM of pairs, above that of the reference', 'floor', 3),
    'intensity_distance': Meaning('intensity distance (share of the range)', 'lower', 4),
    'spectrum_distance': Meaning('spectrum distance (dB)', 'lower', 2),
    'authentic_percentage': Meaning('AuthPct', 'floor', 1),
    'copying_score': Meaning('C_T (negative: copying)', 'floor', 2),
}
_FID_TITLES = {'frechet_distance': 'FID', 'kernel_distance': 'KID'}
_RADIOMIC_TITLES = {
    'frechet_distance': 'Frechet radiomic distance, squared',
    'kernel_distance': 'kernel distance of radiomics',
}
_PATCH_SCORES = {'normalised': 'swd', 'intensity_aware': 'swd_intensity_aware'}
BY_FEATURES = ('frechet_distance', 'kernel_distance', *neighbours.SCORES)
MEMORY = ('authentic_percentage', 'copying_score')
Scores = dict[str, Score]


def create_meanings(*, is_fid: bool, is_radiomic: bool) -> dict[str, Meaning]:
    """MEANINGS, with the names that belong to the standard Inception-v3 alone, or to radiomic features."""
    titles = _FID_TITLES if is_fid else _RADIOMIC_TITLES if is_radiomic else {}
    return {
        name: dataclasses.replace(meaning, title=titles.get(name, meaning.title))
        for name, meaning in MEANINGS.items()
    }


def measure(
    generated: ImageStatistics, reference: ImageStatistics, group_count: int, class_names: Sequence[str]
) -> Scores:
    """All scores that compare two sets: those of MEANINGS but for MEMORY, and SWD at each scale, as `swd_64`.

    Args:
      generated: what is judged; real images in its place give the floor.
      reference: real images.
      group_count: of the jackknife, the same in all sets that are compared.
      class_names: of the extractor; empty where it tells none.
    """
    if fault := find_fault(generated=generated, reference=reference):
        return {score: fault for score in MEANINGS if score not in MEMORY}
    pixels = [described.pixel_sample(group_count) for described in (generated, reference)]
    return {
        **measure_features(generated, reference, group_count),
        **_timed('class scores', _measure_classes, generated, reference, group_count, class_names),
        **_timed('sliced Wasserstein', _measure_patches, *pixels),
        **_timed('MS-SSIM', _measure_structure, *pixels),
        **_timed('intensities and spectra', _measure_intensities, *pixels),
    }


def measure_features(generated: ImageStatistics, reference: ImageStatistics, group_count: int) -> Scores:
    """The scores in BY_FEATURES."""
    if fault := find_fault(generated=generated, reference=reference):
        return dict.fromkeys(BY_FEATURES, fault)
    samples = [described.sample(described.features, group_count) for described in (generated, reference)]
    return {
        'frechet_distance': _timed('Frechet distance', _measure_frechet, *samples),
        'kernel_distance': _timed('kernel distance', kernel.kernel_score, *samples),
        **_timed('precision to coverage', neighbours.precision_recall_density_coverage, *samples),
    }


def measure_memory(
    generated: ImageStatistics, held_out: ImageStatistics, training: ImageStatistics, group_count: int
) -> Scores:
    """Screens for memorised training images, with held-out ones as the measure; no proof."""
    if fault := find_fault(generated=generated, held_out=held_out, training=training):
        return dict.fromkeys(MEMORY, fault)
    samples = [described.sample(described.features, group_count) for described in (generated, held_out)]
    return {
        'authentic_percentage': _timed(
            'AuthPct', memorisation.authentic_percentage, samples[0], training.features
        ),
        'copying_score': _timed('C_T', memorisation.copying_score, *samples, training.features, _CELLS, _SEED),
    }


def measure_as_published(
    generated: ImageStatistics, reference: ImageStatistics, class_names: Sequence[str]
) -> dict[str, Spread | Missing]:
    """Mean and standard deviation over parts of the images, as the literature gives them."""
    names = 'kernel_distance_of_subsets', 'inception_score_of_splits'
    if fault := find_fault(generated=generated, reference=reference):
        return dict.fromkeys(names, fault)
    spreads: dict[str, Spread | Missing] = {
        names[0]: _timed(
            'kernel distance of subsets',
            kernel.kernel_score_of_subsets,
            generated.features,
            reference.features,
            _SEED,
        )
    }
    if not class_names:
        return spreads | {names[1]: _NO_CLASSES}
    # Parts are consecutive, and classes may have been drawn in turn.
    shuffled = np.random.default_rng(_SEED).permutation(generated.probabilities)
    return spreads | {names[1]: classification.inception_score_of_splits(shuffled)}


def find_fault(**sets: ImageStatistics) -> Missing | None:
    """Why sets, given by their names, have no score at all: an image that is not finite."""
    for name, described in sets.items():
        if described.not_finite:
            what = name.replace('_', '-')
            return Missing(f'{described.not_finite} of {len(described)} {what} images are not finite.')
    return None


def _measure_frechet(generated: FeatureSample, reference: FeatureSample) -> Score:
    moments = (
        gaussian.collect_moments(sample.values, sample.groups, sample.group_count)
        for sample in (generated, reference)
    )
    return gaussian.frechet_score(*moments)


def _measure_classes(
    generated: ImageStatistics, reference: ImageStatistics, group_count: int, class_names: Sequence[str]
) -> Scores:
    names = ('inception_score', 'am_score', 'mode_score', 'mode_score_identity', 'mode_score_reversed')
    if not class_names:
        return dict.fromkeys(names, _NO_CLASSES)
    judged, real = (described.sample(described.probabilities, group_count) for described in (generated, reference))
    variants = {
        'mode_score' if variant == 'default' else f'mode_score_{variant}': classification.mode_score(
            judged, real, variant, class_names
        )
        for variant in classification.MODE_SCORES
    }
    return {
        'inception_score': classification.inception_score(judged),
        'am_score': classification.am_score(judged, real, class_names),
        **variants,
    }


def _measure_patches(generated: FeatureSample, reference: FeatureSample) -> Scores:
    """The mean over scales, and each scale by its pixels."""
    fewer, fewer_real = (_spread(sample, _PATCH_IMAGES) for sample in (generated, reference))
    scores: Scores = {}
    for variant, levels in patches.sliced_wasserstein(fewer, fewer_real, _SEED).items():
        name = _PATCH_SCORES[variant]
        scores |= {name if level == 'mean' else f'{name}_{level}': score for level, score in levels.items()}
    return scores


def _spread(sample: FeatureSample, count: int) -> FeatureSample:
    """At most so many images, evenly spread over the groups, as many of each, and within them."""
    share = max(count // sample.group_count, 1)
    rows = []
    for group in range(sample.group_count):
        members = np.flatnonzero(sample.groups == group)
        taken = min(share, len(members))
        rows.append(members[np.arange(taken) * len(members) // max(taken, 1)])
    chosen = np.sort(np.concatenate(rows))
    return FeatureSample(sample.values[chosen], sample.groups[chosen], sample.group_count)


def _measure_structure(generated: FeatureSample, reference: FeatureSample) -> Scores:
    """How much more alike generated images are than real ones."""
    means = []
    for name, sample in (('generated', generated), ('reference', reference)):
        if len(sample) < 2:
            return {'ms_ssim': Missing(f'needs at least 2 {name} images; there are {len(sample)}.')}
        means.append(structure.mean_similarity(sample, name, structure.draw_pairs(len(sample), _PAIRS, _SEED)))
    return {'ms_ssim': difference(*means)}


def _measure_intensities(generated: FeatureSample, reference: FeatureSample) -> Scores:
    histograms, spectra = [], []
    for sample in (generated, reference):
        height, width, channels = sample.values.shape[1:]
        histograms.append(intensities.Histograms(sample.group_count, channels))
        spectra.append(intensities.Spectra(sample.group_count, height, width))
        for stream in (histograms[-1], spectra[-1]):
            for start in range(0, len(sample), 256):
                rows = slice(start, start + 256)
                stream.add(sample.values[rows], sample.groups[rows])
    return {
        'intensity_distance': intensities.intensity_distance(*histograms),
        'spectrum_distance': intensities.spectrum_distance(*spectra),
    }


def _timed(name: str, function: Callable, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    _LOGGER.info('  %-24s %6.1f s', name, time.perf_counter() - start)
    return result
