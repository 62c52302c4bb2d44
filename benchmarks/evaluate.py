"""Times extractors and scores of `gan.evaluate`, and prints Markdown tables.

    python -m benchmarks.evaluate --counts=10000,50000

Extractors have random weights, and images are noise: neither changes the time. Scores compare as many generated
as reference images, in features of the length that the small classifier has. Memory is the highest that the whole
process ever held, up to and including that line; each number of images is scored in a process of its own.
"""

import datetime as dt
import logging
import multiprocessing
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from absl import logging as absl_logging

from backbones.extractors import Extracted
from backbones.networks import DenseNet, InceptionV3, Network, ResNet
from backbones.preprocessing import IMAGENET, INCEPTION, Preprocess
from foundation.statistics.jackknife import LARGEST_GROUP_COUNT
from foundation.training import parallel
from foundation.training.mapping import create_mapper
from gan.evaluation import scoring
from gan.evaluation.extractors import RANDOM, create_extractor
from gan.evaluation.statistics import ImageStatistics

_COUNTS = flags.DEFINE_list('counts', ['10000'], 'Generated images, and reference images, to be scored.')
_EXTRACTED = flags.DEFINE_integer('extracted', 512, 'Images for each extractor; a first batch is not timed.')
_BATCH = flags.DEFINE_integer('batch_size', 128, 'Images at a time, as in gan.evaluate.', lower_bound=1)
_SIZE = flags.DEFINE_integer('size', 64, 'Pixels a side.', lower_bound=16)
_FEATURES = flags.DEFINE_integer('features', 128, 'Length of the vectors that are scored.', lower_bound=1)
_CLASSES = 6
# The small classifier, and the imported networks with what makes their input.
_NETWORKS: dict[str, tuple[Network, Preprocess | None]] = {
    'classifier (ResNet-18, width 16)': (ResNet(18, 16, True, _CLASSES, jnp.float32), None),
    'resnet50': (ResNet(50, 64, False, 1000, jnp.float32), IMAGENET),
    'densenet121': (DenseNet(32, (6, 12, 24, 16), 64, False, 1000, jnp.float32), IMAGENET),
    'inception': (InceptionV3(1008, jnp.float32), INCEPTION),
}


def main(_: Sequence[str]) -> None:
    """Prints a table of extractors and one of scores for each count."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    kind = jax.devices()[0].device_kind
    processor = '' if kind.lower() != 'cpu' else f' ({platform.processor() or platform.machine()})'
    print(f'{jax.device_count()} x {kind}{processor}, JAX {jax.__version__}, {dt.date.today()}:')
    print(f'\n    python -m benchmarks.evaluate {shlex.join(sys.argv[1:])}\n')
    if _EXTRACTED.value:
        _print_extractors()
    context = multiprocessing.get_context('spawn')
    for count in map(int, _COUNTS.value):
        process = context.Process(target=print_scores, args=(count, _SIZE.value, _FEATURES.value))
        process.start()
        process.join()


def _print_extractors() -> None:
    print(f'| extractor, {_SIZE.value}x{_SIZE.value} pixels | images/s |\n| --- | ---: |')
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (_BATCH.value, _SIZE.value, _SIZE.value, 1)).astype(np.float32)
    random = create_extractor(RANDOM)
    print(f'| random features | {_images_per_second(random.extract, random.variables, images):.0f} |', flush=True)
    for name, (network, preprocess) in _NETWORKS.items():
        extract = _create_extract(network, preprocess)
        side = preprocess.size if preprocess else _SIZE.value
        shape = jax.ShapeDtypeStruct((1, side, side, 3 if preprocess else 1), jnp.float32)
        shapes = jax.eval_shape(network.init, jax.random.key(0), shape)
        variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.01, leaf.dtype), shapes)
        print(f'| {name} | {_images_per_second(extract, variables, images):.1f} |', flush=True)
    print()


def _create_extract(network: Network, preprocess: Preprocess | None) -> Callable[..., Extracted]:
    def extract(variables, images) -> Extracted:
        prepared = preprocess.prepare(images) if preprocess else images
        described = network.apply(variables, prepared, train=False)
        return Extracted(described.pooled, jax.nn.softmax(described.logits))

    return extract


def _images_per_second(extract: Callable[..., Extracted], variables, images: np.ndarray) -> float:
    mapped = create_mapper(extract, parallel.create_mesh(), _BATCH.value)
    mapped(variables, images)
    batches = -(-_EXTRACTED.value // _BATCH.value)
    start = time.perf_counter()
    for _ in range(batches):
        mapped(variables, images)
    return batches * len(images) / (time.perf_counter() - start)


def print_scores(count: int, size: int, features: int) -> None:
    """Prints a line for each group of scores, and their sum."""
    generated, reference = (_draw_described(count, size, features, seed) for seed in range(2))
    names, groups = tuple(map(str, range(_CLASSES))), LARGEST_GROUP_COUNT
    print(f'| scores of {count:,} and {count:,} images | seconds | peak memory MiB |\n| --- | ---: | ---: |')
    print(f'| none: the sets themselves | | {_peak_mib():.0f} |', flush=True)
    scores = logging.getLogger(scoring.__name__)
    scores.setLevel(logging.INFO)
    scores.propagate = False
    scores.addHandler(_Lines())
    start = time.perf_counter()
    scoring.measure(generated, reference, groups, names)
    scoring.measure_memory(generated, reference, reference, groups)
    print(f'| all | {time.perf_counter() - start:.1f} | {_peak_mib():.0f} |\n', flush=True)


class _Lines(logging.Handler):
    """Prints what is logged of each score, its name and seconds, as a line of the table."""

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.args, tuple)
        name, seconds = record.args
        print(f'| {name} | {seconds:.1f} | {_peak_mib():.0f} |', flush=True)


def _peak_mib() -> float:
    """From Linux, whose `getrusage` would begin with the memory of the process that started this one."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1024


def _draw_described(count: int, size: int, features: int, seed: int) -> ImageStatistics:
    rng = np.random.default_rng(seed)
    kept = min(count, 2048)
    return ImageStatistics(
        features=rng.standard_normal((count, features), np.float32),
        probabilities=rng.dirichlet(np.ones(_CLASSES), count).astype(np.float32),
        labels=np.zeros(count, np.int32),
        owners=np.arange(count),
        finite=np.ones(count, bool),
        pixels=rng.integers(0, 256, (kept, size, size, 1), np.uint8),
        pixel_rows=np.arange(kept) * count // kept,
    )


if __name__ == '__main__':
    app.run(main)
