"""Fixtures of the tests of training: drawn volumes with masks, and the config of a tiny network."""

import dataclasses

import numpy as np
import pytest

from configs.segment import unet
from segment.train import train_and_evaluate
from tests.foundation.training.in_process import train_here
from tests.input_pipeline.items import make_item, write

SPLITS = {'train': 8, 'validation': 3, 'test': 4}
FLAGS = {
    'resolution': 16,
    'patch': 16,
    'context': 1,
    'data.name': 'volumes',
    'data.fit': 'native',
    'network.width': 4,
    'network.max_width': 8,
    'network.depth': 2,
    'network.normalization': 'batch',
    'optimizer.learning_rate': 1e-2,
    'schedule.steps': 12,
    'schedule.batch_size': 8,
    'watch.steps': 4,
    'run.log_images': 8,
    'run.checkpoint_images': 8,
    'run.sample_images': 96,
    'run.checkpoints_to_keep': 100,
}


def draw(seed, ids=(1, 2), shape=(14, 16)):
    """A noisy slice with a dim and a bright square, and its mask."""
    generator = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    for class_id, column in zip(ids, (1, 9), strict=False):
        row, start = generator.integers(0, shape[0] - 6), column + generator.integers(0, 2)
        mask[row : row + 5, start : start + 5] = class_id
    image = 30 + 90 * mask.astype(int) + generator.integers(0, 20, shape)
    return image.clip(0, 255).astype(np.uint8)[..., None], mask[..., None]


def volumes(ids=None, counts=SPLITS, slices=3):
    """An item for each patient; `ids` are the classes drawn in each split."""
    items = []
    for number, split in enumerate(split for split, count in counts.items() for _ in range(count)):
        own = (ids or {}).get(split, (1, 2))
        drawn = [draw(10 * number + place, own) for place in range(slices)]
        images, masks = zip(*drawn, strict=True)
        key = f'{split}{number:02d}'
        items.append(make_item(key, images, masks=masks, patient=key, split=split, modality='MR'))
    return items


def train(config, workdir):
    """See `train_here`."""
    train_here(train_and_evaluate, config, workdir)


@pytest.fixture(scope='package')
def data_dir(tmp_path_factory):
    """Data sets of small volumes, and some that cannot be trained on."""
    folder = tmp_path_factory.mktemp('segment') / 'data'
    write(volumes(), folder, 'volumes')
    write(volumes({'train': (), 'validation': (), 'test': ()}), folder, 'no_foreground')
    write(volumes({'train': (1,)}), folder, 'untrained_class')
    write(volumes(dict.fromkeys(SPLITS, (1, 3))), folder, 'gap')
    write(volumes({'validation': ()}), folder, 'unwatched')
    write(volumes(counts={'train': 8, 'validation': 3}), folder, 'no_test')
    first, *others = volumes()
    write([dataclasses.replace(first, split='test'), *others], folder, 'relabelled')
    unmarked = [make_item(f'i{n}', [draw(n)[0]], split=('train', 'validation', 'test')[n % 3]) for n in range(9)]
    write(unmarked, folder, 'no_masks')
    return folder


@pytest.fixture(scope='package')
def create_config(data_dir):
    """Returns `create(changes)`: the config of a tiny network."""

    def create(changes=None):
        config = unet.get_config('small').lock()
        config.update_from_flattened_dict(FLAGS | {'data.data_dir': str(data_dir)} | (changes or {}))
        return config

    return create
