"""A tiny detector, trained once for all tests, and the drawn images that it was trained on."""

import json
from pathlib import Path

import pytest

from configs.detect import detector
from detect import prepare
from detect.judge import Judge, open_judge
from detect.predictions import PredictionRequest, answer_all
from detect.train import train_and_evaluate
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import reader_options
from tests.detect import drawn
from tests.foundation.training.in_process import train_here

FLAGS = {
    'resolution': 32,  # half of what is stored
    'network.depth': 18,
    'network.width': 4,
    'augment.shift': 0.0,
    'degrade.turning': 0.0,
    'degrade.cutting': 0.0,
    'degrade.resampling': 0.0,
    'degrade.blur': 0.0,
    'degrade.compression': 0.0,
    'optimizer.learning_rate': 1e-2,
    'schedule.epochs': 12,
    'schedule.batch_size': 16,
    'anomaly.padim_features': 8,
    'anomaly.coreset': 20,
    'anomaly.images': 30,
    'watch.epochs': 6,
    'run.log_images': 96,
    'run.checkpoint_images': 288,
    'run.checkpoints_to_keep': 100,
}


@pytest.fixture(scope='session')
def detector_data(tmp_path_factory) -> Path:
    """Folder of data sets: `reals`, and `mixed` of these and two kinds of fakes, blocks and noise."""
    folder = tmp_path_factory.mktemp('detect')
    drawn.write_reals(folder / 'data', 'reals')
    fakes = []
    for seed, (name, change) in enumerate({'blocks': drawn.add_blocks, 'noise': drawn.add_noise}.items(), start=1):
        drawn.write_fakes(folder / name, change, seed)
        fakes += [f'{name}={folder / name / split}@{split}' for split in drawn.SPLITS]
    arguments = ['--name=mixed', '--real', 'reals', '--resolution', str(drawn.SIZE), '--fakes', *fakes]
    assert prepare.main([*arguments, f'--data_dir={folder / "data"}']) == 0
    return folder / 'data'


@pytest.fixture(scope='session')
def create_config(detector_data):
    """Returns `create(changes)`: the config of a tiny detector."""

    def create(changes=None):
        config = detector.get_config('small').lock()
        own = {'data.name': 'mixed', 'data.data_dir': str(detector_data)}
        config.update_from_flattened_dict(FLAGS | own | (changes or {}))
        return config

    return create


@pytest.fixture(scope='session')
def detector_workdir(create_config, tmp_path_factory) -> Path:
    """The workdir of a finished detector."""
    workdir = tmp_path_factory.mktemp('detector')
    train_here(train_and_evaluate, create_config(), workdir)
    return workdir


@pytest.fixture(scope='session')
def judge(detector_workdir) -> Judge:
    """The detector at work, at an error level of 10% and a prevalence of 1%."""
    return open_judge(detector_workdir, error_level=0.1, prevalence=0.01, batch_size=8)


@pytest.fixture(scope='session')
def pictures():
    """Test images: real ones of 8 bits, and fakes."""
    shown = drawn.draw_pictures(1, 'test')
    return shown, [drawn.add_blocks(picture, number) for number, picture in enumerate(shown)]


@pytest.fixture
def answer(judge, tmp_path):
    """Returns `answer(*paths)`: the lines by name; all of them are answers or errors."""

    def run(*paths, audit=None, overlays=None, axis=2):
        out = tmp_path / f'lines{len(list(tmp_path.glob("lines*")))}.jsonl'
        order = PredictionRequest(out, overlays, audit, {})
        order.check()
        refusals = Refusals(skip=True)
        found = find_incoming(paths, reader_options(axis, 2**20), refusals)
        answered = answer_all(found, judge, order, refusals)
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        by_name = {line['name']: line for line in lines}
        assert len(by_name) == len(lines) == answered + len(refusals.reasons)
        assert sum('error' in line for line in lines) == len(refusals.reasons)
        assert all({'verdict', 'error'} & line.keys() for line in lines)
        return by_name

    return run
