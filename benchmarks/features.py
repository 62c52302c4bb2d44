"""Which features tell good images from bad ones? Extractors side by side, as a Markdown table.

    python -m benchmarks.features --workdirs=runs/short,runs/long --extractors=random,runs/classifier,runs/encoder

Of each extractor: whether the nearest training images know the class of held-out ones, and Frechet distances to
the training images of held-out images, of the same ones blurred and noisy, and of generators trained on the same
data, as many images of each. In brackets 95% intervals; behind them the multiple of the held-out images' distance.
"""

import contextlib
import datetime as dt
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
import scipy.ndimage
from absl import app, flags
from jaxtyping import Float

from backbones.contrastive.probe import right_neighbours
from backbones.extractors import Extractor
from foundation.statistics.jackknife import Missing, Score, count_groups
from foundation.statistics.proportions import share_interval
from gan.evaluation.extractors import create_extractor
from gan.evaluation.sets import Extract, create_extract, describe_generated, describe_reals
from gan.evaluation.statistics import Batch, ImageStatistics, describe
from gan.generator import TrainedGenerator
from gan.scores import gaussian

_WORKDIRS = flags.DEFINE_list('workdirs', None, 'Of generators trained on the same data.', required=True)
_EXTRACTORS = flags.DEFINE_list('extractors', None, 'As for gan.evaluate.', required=True)
_BLUR = flags.DEFINE_float('blur', 0.7, 'Deviation of the Gaussian, in pixels.', 0.0)
_NOISE = flags.DEFINE_float('noise', 0.1, 'Deviation; the range of images is 2.', 0.0)
_BATCH = 128
Images = Float[np.ndarray, 'batch height width channel']


def main(_: Sequence[str]) -> None:
    """Prints a row for each extractor."""
    print(f'{jax.devices()[0].device_kind}, JAX {jax.__version__}, {dt.date.today()}:')
    print(f'\n    python -m benchmarks.features {shlex.join(sys.argv[1:])}\n')
    runs = {Path(folder).name: TrainedGenerator.load(Path(folder)) for folder in _WORKDIRS.value}
    columns = ['held out', f'blurred by {_BLUR.value:g} pixels', f'noise of {_NOISE.value:g}', *runs]
    print(f'| features | class known | {" | ".join(columns)} |\n|{" --- |" * (len(columns) + 2)}', flush=True)
    for name in _EXTRACTORS.value:
        extractor = create_extractor(name)
        cells = _compare(extractor, list(runs.values()))
        print(f'| {extractor.name} | {" | ".join(cells)} |', flush=True)


def _compare(extractor: Extractor, runs: list[TrainedGenerator]) -> list[str]:
    extract, first = create_extract(extractor, _BATCH), runs[0]
    training, held_out = (
        describe_reals(first, split, extractor, extract, _BATCH) for split in (first.recipe.split, 'test')
    )
    sets = [held_out, *(_describe_changed(first, extract, change) for change in (_blur, _add_noise))]
    sets += [describe_generated(run, held_out.labels, 0, extract, _BATCH) for run in runs]
    distances = [_measure(judged, training) for judged in sets]
    return [_describe_neighbours(training, held_out), *(_show(each, distances[0]) for each in distances)]


def _describe_neighbours(training: ImageStatistics, held_out: ImageStatistics) -> str:
    right = right_neighbours(training.features, training.labels, held_out.features, held_out.labels)
    interval = share_interval(right, held_out.owners)
    return f'{right.mean():.3f}' + (f' [{interval[0]:.3f}, {interval[1]:.3f}]' if interval else '')


def _describe_changed(
    run: TrainedGenerator, extract: Extract, change: Callable[[Images], Images]
) -> ImageStatistics:
    images = run.recipe.open_split('test')
    with contextlib.closing(images.in_order(run.network.resolution, _BATCH)) as batches:
        return describe(_change(batches, images.channels, change), images.num_examples, extract, images.dtype)


def _change(
    batches: Iterator[dict[str, np.ndarray]], channels: int, change: Callable[[Images], Images]
) -> Iterator[Batch]:
    for batch in batches:
        yield Batch(change(batch['image'][..., :channels]), batch['label'], batch['patient'])


def _blur(images: Images) -> Images:
    return scipy.ndimage.gaussian_filter(images, (0, _BLUR.value, _BLUR.value, 0), mode='nearest')


def _add_noise(images: Images) -> Images:
    noise = np.random.default_rng(0).normal(scale=_NOISE.value, size=images.shape)
    return np.clip(images + noise, -1, 1).astype(np.float32)


def _measure(judged: ImageStatistics, training: ImageStatistics) -> Score:
    groups = count_groups(judged.owners, training.owners)
    samples = (each.sample(each.features, groups) for each in (judged, training))
    return gaussian.frechet_score(
        *(gaussian.collect_moments(each.values, each.groups, each.group_count) for each in samples)
    )


def _show(score: Score, floor: Score) -> str:
    if isinstance(score, Missing) or isinstance(floor, Missing):
        return score.reason if isinstance(score, Missing) else 'no floor'
    low, high = score.interval()
    return f'{score.value:.3g} [{low:.3g}, {high:.3g}], {score.value / floor.value:.1f}'


if __name__ == '__main__':
    app.run(main)
