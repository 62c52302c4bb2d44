"""The trainer of detectors: what it learns and leaves behind, whatever stops it, and what it refuses."""

import os
import shutil
import signal

import numpy as np
import pytest

from detect.data import binary_labels
from detect.metrics.ranking import auroc, trace_roc
from detect.metrics.samples import weigh_once
from detect.recipe import create_recipe
from detect.train import train_and_evaluate
from detect.trained_network import restore_network
from foundation.training import loop
from foundation.training.errors import UserError
from input_pipeline import DataError
from tests.foundation.training.in_process import train_here
from tests.foundation.training.runs import logged_metrics, saved_state

BATCH, END = 16, 1152  # images: 12 epochs of 96


def test_a_run_leaves_what_it_promises(detector_workdir):
    names = {path.name for path in detector_workdir.iterdir()}
    assert names >= {
        'anomalies.npz', 'best_checkpoints', 'checkpoints', 'config.json', 'curves.png', 'data.json',
        'data_folder.json', 'detector.json', 'log.txt',
    }  # fmt: skip
    assert 'encoder.json' not in names
    looks = [line for line in logged_metrics(detector_workdir) if 'auroc' in line]
    assert [line['images_seen'] for line in looks] == [END // 2, END]
    assert looks[-1]['auroc'] > 0.85
    assert looks[-1]['log_loss'] < looks[0]['log_loss'] < np.log(2)


@pytest.fixture(scope='module')
def trained(detector_workdir):
    return restore_network(detector_workdir, None, batch_size=64)


def test_the_best_checkpoint_gives_what_the_watch_measured(detector_workdir, trained, create_config):
    looks = {line['images_seen'] // BATCH: line for line in logged_metrics(detector_workdir) if 'auroc' in line}
    assert trained.position.step == min(looks, key=lambda step: looks[step]['log_loss'])
    images = create_recipe(create_config()).data.open('validation', train=False)
    batches = images.in_order(32, 64)
    logits = np.asarray(trained.describe(next(batches)['image']).logits, np.float64)
    batches.close()
    labels = binary_labels(images)
    look = looks[trained.position.step]
    assert float(auroc(trace_roc(logits, labels, weigh_once(len(labels))))[0]) == pytest.approx(look['auroc'])
    assert np.log1p(np.exp(np.where(labels == 1, -logits, logits))).mean() == pytest.approx(look['log_loss'], 1e-4)
    assert ((logits > 0) == (labels == 1)).mean() == pytest.approx(look['validation_accuracy'])


def test_any_checkpoint_is_restored(detector_workdir, trained):
    first = restore_network(detector_workdir, 18, batch_size=1)
    assert first.position.step == 18
    assert first.checksum != trained.checksum
    with pytest.raises(UserError, match='has no checkpoint of step 99, only of'):
        restore_network(detector_workdir, 99, batch_size=1)


def test_going_on_from_a_stop_gives_the_same_bits(create_config, detector_workdir, tmp_path, monkeypatch, capsys):
    """A run is stopped between two checkpoints and two looks at the validation split, and goes on to its end."""
    call = loop._Runner._call

    def calling(self, *arguments):
        call(self, *arguments)
        if self._position.images_seen == 48 * BATCH:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(loop._Runner, '_call', calling)
        train_here(train_and_evaluate, create_config(), tmp_path)
    assert 'Stopped by SIGTERM' in capsys.readouterr().out
    assert not (tmp_path / 'detector.json').exists()
    train_here(train_and_evaluate, create_config(), tmp_path)
    resumed, whole = (saved_state(folder / 'checkpoints', END // BATCH) for folder in (tmp_path, detector_workdir))
    assert any('batch_stats' in name for name in whole)
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not np.array_equal(resumed[name], whole[name])]
    assert logged_metrics(tmp_path) == logged_metrics(detector_workdir)
    assert (tmp_path / 'detector.json').read_text() == (detector_workdir / 'detector.json').read_text()


def test_a_finished_run_is_left_as_it_is(create_config, detector_workdir, capsys):
    names, metrics = ('detector.json', 'anomalies.npz'), logged_metrics(detector_workdir)
    before = {name: (detector_workdir / name).stat().st_mtime_ns for name in names}
    train_here(train_and_evaluate, create_config(), detector_workdir)
    assert {name: (detector_workdir / name).stat().st_mtime_ns for name in names} == before
    assert logged_metrics(detector_workdir) == metrics
    assert f'-m detect.evaluate --workdir={detector_workdir}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'data.name': 'reals'}, 'reals was not written by detect'),
        ({'data.name': 'nowhere'}, r'there is no data set'),
        ({'schedule.batch_size': 97}, r'batch_size is 97, but there are 96 training images'),
        ({'attention_heads': 3}, r'attention_heads is 3, but must divide 8 features'),
        ({'compute_dtype': 'float16'}, r"config\.compute_dtype is 'float16'"),
        ({'start_from': 'nowhere'}, r'nowhere holds no finished classifier'),
        ({'anomaly.padim_features': 500}, r'padim_features is 500, but the maps have'),
        ({'resolution': 128}, r'no image of mixed has more than 64 pixels a side.* --config\.resolution=64\.'),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(create_config, tmp_path, changes, expected):
    with pytest.raises((UserError, DataError), match=expected):
        train_and_evaluate(create_config(changes), tmp_path / 'run')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'network.width': 8}, r'holds a run with network.width=4, not 8; use --config.network.width=4'),
        ({'inputs': ('pixels',)}, r"holds a run with inputs=\['residual'\], not \['pixels'\]"),
        ({'degrade.noise': 0.9}, r'holds a run with degrade.noise=0.2, not 0.9'),
        ({'data.labels': 'random'}, r'holds a run with data.labels=true, not random'),
        ({'data.sources': ('noise',)}, r'holds a run with data.sources'),
    ],
)
def test_another_run_in_the_workdir(create_config, detector_workdir, changes, expected):
    before = {path: path.read_bytes() for path in detector_workdir.glob('*.json')}
    with pytest.raises(UserError, match=expected):
        train_and_evaluate(create_config(changes), detector_workdir)
    assert {path: path.read_bytes() for path in detector_workdir.glob('*.json')} == before


@pytest.mark.parametrize(
    ('name', 'change', 'expected'),
    [
        ('config.json', lambda text: text.replace('"inputs"', '"patch"'), 'holds no detector; give the --workdir'),
        ('config.json', lambda text: text[:100], r'config\.json is damaged'),
        ('config.json', lambda text: text.replace('"residual"', '"wavelet"'), 'name some of residual'),
        ('data.json', lambda text: '{}', r'data\.json is damaged'),
    ],
)
def test_a_damaged_run_is_refused(detector_workdir, tmp_path, name, change, expected):
    workdir = shutil.copytree(detector_workdir, tmp_path / 'run', ignore=shutil.ignore_patterns('*checkpoints'))
    (workdir / name).write_text(change((workdir / name).read_text()))
    with pytest.raises(UserError, match=expected):
        restore_network(workdir, None, batch_size=1)


def test_a_run_without_a_measured_checkpoint(detector_workdir, tmp_path):
    workdir = shutil.copytree(detector_workdir, tmp_path / 'run', ignore=shutil.ignore_patterns('*checkpoints'))
    with pytest.raises(UserError, match='holds no checkpoint that was measured; train longer first'):
        restore_network(workdir, None, batch_size=1)
