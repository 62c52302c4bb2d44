"""Time and memory of the release gate's comparison with all training images.

    python -m benchmarks.release --training=100000 --candidates=10000 --resolution=64

Images are random, for the time does not depend on them. Prints a table in Markdown.
"""

import resource
import time
from collections.abc import Sequence

import numpy as np
from absl import app, flags

from gan.release.nearest import NearestImages

_TRAINING = flags.DEFINE_integer('training', 100_000, 'Training images.', lower_bound=1)
_CANDIDATES = flags.DEFINE_integer('candidates', 10_000, 'Generated images.', lower_bound=1)
_RESOLUTION = flags.DEFINE_integer('resolution', 64, 'Pixels a side, a power of two up to 64.', lower_bound=8)
_FEATURES = flags.DEFINE_integer('features', 128, 'Features an image.', lower_bound=1)
_BATCH = 128  # candidates at a time, as gan.generate draws them


def _draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    side = _RESOLUTION.value
    images = generator.integers(0, 256, (count, side, side, 1), np.uint8)
    return images, generator.normal(size=(count, _FEATURES.value)).astype(np.float32)


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(argv: Sequence[str]) -> None:
    """Builds the index, measures all candidates, and prints what it took."""
    training = _draw(_TRAINING.value, 0)
    start = time.perf_counter()
    likeness = NearestImages(*training)
    built = time.perf_counter() - start
    images, features = _draw(_CANDIDATES.value, 1)
    likeness.measure(images[:_BATCH], features[:_BATCH])  # compiles
    start = time.perf_counter()
    for row in range(0, len(images), _BATCH):
        likeness.measure(images[row : row + _BATCH], features[row : row + _BATCH])
    measured = time.perf_counter() - start
    print('| training | candidates | pixels | index s | candidates s | images/s | peak GiB |')
    print('| ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
    print(
        f'| {_TRAINING.value:,} | {_CANDIDATES.value:,} | {_RESOLUTION.value} | {built:.1f} | {measured:.1f} | '
        f'{len(images) / measured:.0f} | {_peak_gib():.2f} |'
    )


if __name__ == '__main__':
    app.run(main)
