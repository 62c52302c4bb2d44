"""Scores over the settings of a run: each is that of a generator so set, beside the floor of its size."""

import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.evaluation import scoring, sets
from gan.evaluation.report import describe_score
from gan.evaluation.sets import create_extract, describe_generated, describe_reals, draw_labels
from gan.evaluation.sweep import SHOWN, SweepRequest, describe_sweep, draw_sweep, measure_sweep, read_truncation
from gan.generator import TrainedGenerator
from tests.gan.evaluation.drawn import create_extractor, create_protocol, write_workdir
from tests.gan.families.small import small_config


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    """A run of LAPGAN that was never trained."""
    folder = tmp_path_factory.mktemp('run')
    data = {'data__name': 'phantom_swept', 'data__data_dir': str(folder / 'data'), 'data__phantom__count': 96}
    config = small_config('lapgan', side=16, data__phantom__size=16, **data)
    return write_workdir(config, folder / 'run', seed=0)


def test_levels_are_scored_at_their_own_size(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(sets, '_CACHE', tmp_path / 'cache')
    extractor, protocol = create_extractor(), create_protocol()
    report = measure_sweep(workdir, extractor, protocol, SweepRequest((), 0, 3))
    assert [(own['name'], own['resolution']) for own in report['settings']] == [
        ('4x4', 4), ('8x8', 8), ('16x16', 16)
    ]  # fmt: skip
    trained, extract = TrainedGenerator.load(workdir), create_extract(extractor, 16)
    reference = describe_reals(trained, 'train', extractor, extract, 16)
    generated = describe_generated(trained, draw_labels(reference, 40, 0, 0), 0, extract, 16)
    groups = min(20, len(np.unique(describe_reals(trained, 'test', extractor, extract, 16).owners)))
    expected = scoring.measure_features(generated, reference, groups)
    last = report['settings'][-1]
    assert last['scores'] == {name: describe_score(score) for name, score in expected.items()}
    assert last['floor']['recall']['value'] > last['scores']['recall']['value']
    assert report['path_lengths'].keys() == {'path_length_latents'}
    draw_sweep(report, tmp_path / 'sweep.png')
    assert (tmp_path / 'sweep.png').stat().st_size > 1000
    lines = list(describe_sweep(report))
    assert lines[0].split()[0] == 'levels'
    assert [line.split()[0] for line in lines[1:]] == ['4x4', '8x8', '16x16', 'real,', 'real,', 'real,', 'path']
    assert len(lines[1].split('  ')) > len(SHOWN)


def test_what_cannot_be_set_is_refused(workdir):
    with pytest.raises(UserError, match="--truncations: 'much' is no number above 0"):
        read_truncation('much')
    assert read_truncation('inf') == np.inf
    with pytest.raises(UserError, match='is the split that the run was trained on'):
        measure_sweep(workdir, create_extractor(), create_protocol(held_out='train'), SweepRequest((), 0, 0))
    with pytest.raises(UserError, match='--standing is for batch normalization'):
        measure_sweep(workdir, create_extractor(), create_protocol(), SweepRequest((), 1, 0))
