"""Training for real: Enhanced-GAN, and PGGAN for as long, on the given data, up to 256x256.

The generator of Enhanced-GAN comes home, of the last stage that training reached; that of PGGAN stays behind.
"""

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ml_collections import ConfigDict

from benchmarks.accelerator.held_out import score_generator
from benchmarks.accelerator.tasks import Context, Row, Task
from benchmarks.accelerator.timed_training import TimedRun, train_by_the_clock
from configs.gan import enhanced_gan, pggan

GENERATOR = 'generator'  # the folder of the weights that come home
_CONFIGS: Mapping[str, Callable[[], ConfigDict]] = {
    'enhanced_gan': enhanced_gan.get_config,
    'pggan': pggan.get_config,
}
# Each stage costs a program that compiles for up to a minute, so there are few. Batches are larger than the
# config's, which were made for GPUs of 2017.
BATCH_SIZES = {64: 64, 128: 32, 256: 16}
_TOY_BATCH_SIZES = {4: 8, 8: 8}
_LEAST = 100.0  # seconds that are worth beginning with
_MOST = 280.0
_SCORING = 40.0  # seconds kept for drawing and scores
_TOY_SECONDS = 60.0
_TOY_SCHEDULE = 0.3  # seconds that it is made for; a CPU that others use, too, takes several times as long
_COUNT, _TOY_COUNT = 1000, 32


def create_tasks(rehearse: bool) -> Sequence[Task]:
    """Both networks; PGGAN gets what Enhanced-GAN had, or nothing."""
    seconds = _TOY_SECONDS if rehearse else _LEAST
    return [Task(name, seconds, functools.partial(_run, name)) for name in _CONFIGS]


def _run(name: str, context: Context) -> Iterator[Row]:
    began = time.monotonic()
    earlier = context.rows(part='train', table='time')
    given = max((row['seconds'] for row in earlier), default=0.0) or _seconds_for_first(context)
    left = context.seconds_left() - 2
    if left < 0.9 * given and not context.rehearse:
        yield {
            'table': 'not trained',
            'network': name,
            'why': f'equal time would be {given:.0f} s, {left:.0f} s were left',
        }
        return
    given = min(given, left)
    own = context.out if name == 'enhanced_gan' else context.scratch
    scoring = min(_SCORING, 0.3 * given)
    config = create_config(name, context)
    longest = _TOY_SCHEDULE if context.rehearse else math.inf
    run = TimedRun(name, config, _batch_sizes(context), given - scoring, longest, own / GENERATOR)
    yield from train_by_the_clock(run, context)
    count = _TOY_COUNT if context.rehearse else _COUNT
    yield from score_generator(name, run.generator, config.data.data_dir, count)
    yield {'table': 'time', 'network': name, 'seconds': given, 'seconds used': time.monotonic() - began}


def _seconds_for_first(context: Context) -> float:
    """All that is left, unless it is enough for both networks."""
    if context.rehearse:
        return _TOY_SECONDS
    left = context.seconds_left() - 4
    return min(left if left < 4 * _LEAST else left / 2, _MOST)


def _batch_sizes(context: Context) -> dict[int, int]:
    return _TOY_BATCH_SIZES if context.rehearse else BATCH_SIZES


def create_config(name: str, context: Context) -> ConfigDict:
    """The network's own config on the given data, with a grid at the end of each stage and few between."""
    config = _CONFIGS[name]()
    config.data.name, config.data.data_dir = context.data, context.data_dir
    if not context.data:
        config.data.name, config.data.data_dir = 'phantom_accelerator', str(context.scratch / 'data')
        config.data.phantom.count = 800
    # New layers enter the running mean untrained, and a stage may be a few thousand images long.
    config.average.half_life, config.average.ramp = 2_500.0, 0.05
    config.watch.images = 0
    config.samples.rows, config.samples.columns = 2, 8
    config.run.log_images = 2_000
    config.run.checkpoint_images, config.run.sample_images = 2**40, 50_000
    config.run.checkpoints_to_keep = 1
    if context.rehearse:
        _shrink(config)
    return config


def _shrink(config: ConfigDict) -> None:
    """To what a CPU trains in seconds."""
    config.resolution = 8
    config.data.phantom.count, config.data.phantom.size = 96, 8
    config.generator.latent_size = 16
    for network in (config.generator, config.discriminator):
        network.fmap_base, network.fmap_max = 64, 8
        network.attention_chunk = min(network.attention_chunk, 16)
    config.average.half_life = 200.0
    config.run.log_images = 16
