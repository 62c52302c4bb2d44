"""A tiny detector of slices and one of volumes on top of it, each trained once."""

import csv
from pathlib import Path

import pytest

from configs.detect import stack
from detect import prepare, tamper
from detect.stacks.data import describe_stacks, open_slices, read_slice_detector
from detect.stacks.recipe import create_recipe
from detect.tampering import copies
from detect.train import train_and_evaluate
from detect.train import train_and_evaluate as train_slices
from tests.detect.volumes import SHAPE, SPLITS, write_volumes
from tests.foundation.training.in_process import train_here

FLAGS = {
    'stack.width': 4,
    'stack.slices': 6,
    'optimizer.learning_rate': 1e-2,
    'schedule.epochs': 8,
    'schedule.batch_size': 4,
    'watch.epochs': 2,
    'run.log_images': 8,
    'run.checkpoint_images': 24,
    'run.checkpoints_to_keep': 100,
}
SLICE_FLAGS = {'resolution': 20, 'schedule.epochs': 2, 'watch.epochs': 1}
REGION = ['--side=12', '--blank=8', '--seam=1', '--steps=1', '--width=2', '--share=1']


@pytest.fixture(scope='package')
def stack_data(tmp_path_factory) -> Path:
    """Data sets `volumes`, and `stacks` of these and copies in which a cube was blackened."""
    folder = tmp_path_factory.mktemp('stacks')
    write_volumes(folder / 'data', 'volumes')
    out = folder / 'black'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, 'fit_inpainter', lambda *_, **__: lambda cube: 0 * cube - 1)
        arguments = ['--data=volumes', '--kind=removed', f'--out={out}', f'--data_dir={folder / "data"}']
        assert tamper.main([*arguments, *REGION]) == 0
    arguments = ['--name=stacks', '--real', 'volumes', '--fakes', f'black={out}', f'--resolution={SHAPE[1]}']
    assert prepare.main([*arguments, f'--data_dir={folder / "data"}']) == 0
    with (out / 'index.csv').open(newline='') as file:
        assert len(list(csv.DictReader(file))) == SHAPE[0] * sum(SPLITS.values())
    return folder / 'data'


@pytest.fixture(scope='package')
def slices_workdir(stack_data, create_config, tmp_path_factory) -> Path:
    """The workdir of a finished detector of slices."""
    workdir = tmp_path_factory.mktemp('slices')
    own = {'data.name': 'stacks', 'data.data_dir': str(stack_data)}
    train_here(train_slices, create_config(SLICE_FLAGS | own), workdir)
    return workdir


@pytest.fixture(scope='package')
def create_stack_config(stack_data, slices_workdir):
    """Returns `create(changes)`: the config of a tiny stack detector."""

    def create(changes=None):
        config = stack.get_config().lock()
        own = {'data.name': 'stacks', 'data.data_dir': str(stack_data), 'slices_from': str(slices_workdir)}
        config.update_from_flattened_dict(FLAGS | own | (changes or {}))
        return config

    return create


@pytest.fixture(scope='package')
def stack_workdir(create_stack_config, tmp_path_factory) -> Path:
    """The workdir of a finished stack detector."""
    workdir = tmp_path_factory.mktemp('stack')
    train_here(train_and_evaluate, create_stack_config(), workdir)
    return workdir


@pytest.fixture(scope='package')
def test_stacks(create_stack_config, slices_workdir):
    """The test split, as the stack detector sees it."""
    recipe, detector = create_recipe(create_stack_config()), read_slice_detector(slices_workdir)
    return describe_stacks(detector, open_slices(recipe.data, detector, 'test'), recipe.slices)
