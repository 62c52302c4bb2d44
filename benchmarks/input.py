"""Images a second of a prepared data set, by the way they reach training, as a Markdown table.

    python -m benchmarks.input --name=mednist --resolution=64

Decoded: from the files into memory, once. From memory: batches gathered from the decoded images. Streamed:
batches decoded anew, as for sets that fit no memory.
"""

import datetime as dt
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence

from absl import app, flags, logging

import input_pipeline

_NAME = flags.DEFINE_string('name', 'phantom_benchmark', "Data set; drawn when it starts with 'phantom'.")
_DATA_DIR = flags.DEFINE_string('data_dir', '', "Folder of all sets; '' for $TFDS_DATA_DIR.")
_RESOLUTION = flags.DEFINE_integer('resolution', 64, 'Height and width.')
_CHANNELS = flags.DEFINE_integer('channels', 1, 'Of the images.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 32, 'Images of a batch.', lower_bound=1)
_SECONDS = flags.DEFINE_float('seconds', 5.0, 'How long batches are timed.', lower_bound=0.1)
_PHANTOM = input_pipeline.PhantomOptions(
    count=256, size=64, modalities=('CT', 'MR', 'DX'), seed=0, images_per_patient=2
)


def main(_: Sequence[str]) -> None:
    """Times the three ways, one after the other."""
    logging.set_verbosity(logging.WARNING)
    input_pipeline.ensure_prepared(_NAME.value, _DATA_DIR.value, _PHANTOM)
    kept, streamed = _open(memory_budget_bytes=2**40), _open(memory_budget_bytes=0)
    start = time.perf_counter()
    kept.decoded(_RESOLUTION.value)
    rates = {'decoded': kept.num_examples / (time.perf_counter() - start)}
    rates |= {'from memory': _rate(kept), 'streamed': _rate(streamed)}
    print(f'{kept.num_examples} images of {_NAME.value}, {os.cpu_count()} cores, {dt.date.today()}.')
    print(f'\n    python -m benchmarks.input {shlex.join(sys.argv[1:])}\n')
    print('| way | images/s |\n| --- | ---: |')
    for way, rate in rates.items():
        print(f'| {way} | {rate:.0f} |')


def _open(memory_budget_bytes: int) -> input_pipeline.ImageData:
    preprocessing = input_pipeline.Preprocessing(
        resolution=_RESOLUTION.value, channels=_CHANNELS.value, window='auto', fit='pad', mask_classes=0, context=0
    )
    return input_pipeline.open_dataset(
        _NAME.value,
        _DATA_DIR.value,
        'train',
        preprocessing,
        flip_horizontal=False,
        flip_vertical=False,
        seed=0,
        memory_budget_bytes=memory_budget_bytes,
        modalities=(),
        classes=(),
        target='class',
        foreground_share=0.0,
    )


def _rate(images: input_pipeline.ImageData) -> float:
    """Images a second of batches, after a first one that starts threads."""
    batches = images.batches(_RESOLUTION.value, 0, _BATCH_SIZE.value, process_index=0, process_count=1)
    next(batches)
    return _repeated(lambda: next(batches)) * _BATCH_SIZE.value


def _repeated(function: Callable[[], object]) -> float:
    """Calls a second."""
    start, calls = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < _SECONDS.value:
        function()
        calls += 1
    return calls / seconds


if __name__ == '__main__':
    app.run(main)
