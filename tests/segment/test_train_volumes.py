"""The trainer of networks of volumes: from volumes to scores and masks, whatever stops it."""

import dataclasses
import json
import os
import signal

import nibabel as nib
import numpy as np
import pytest

from foundation.training import loop
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from segment.data import open_images
from segment.ensemble import SegmenterEnsemble
from segment.train import train_and_evaluate
from segment.validation import measure_volume_dice
from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.command import Commands
from tests.input_pipeline.items import write
from tests.segment.conftest import SPLITS, train, volumes

pytestmark = pytest.mark.slow
CHANGES = {
    'dimensions': 3,
    'context': 0,
    'volume.slices': 4,
    'schedule.steps': 6,
    'schedule.batch_size': 4,
    'watch.steps': 3,
    'run.checkpoint_images': 4,
}
END = 6  # steps


@pytest.fixture(scope='module')
def trained(create_config, tmp_path_factory):
    """The workdir of a run that was never stopped."""
    workdir = tmp_path_factory.mktemp('trained')
    train(create_config(CHANGES), workdir)
    return workdir


def test_what_is_open_follows_from_the_volumes(trained):
    """Slices are 2 mm apart and pixels .5 mm: halved twice before slices are seen together; three have no half."""
    config = workdirs.read_config(trained)
    assert config.volume.distance == 2.0
    assert (tuple(config.volume.strides), tuple(config.volume.kernels)) == ((1, 1), (1, 1, 3))
    looks = [line['images_seen'] for line in logged_metrics(trained) if 'dice' in line]
    assert looks == [12, 24]
    assert list((trained / 'samples').glob('*.png'))


def test_sigterm_changes_nothing(create_config, trained, tmp_path, monkeypatch, capsys):
    call = loop._Runner._call

    def calling(self, *arguments):
        call(self, *arguments)
        if self._position.images_seen == 4 * 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(loop._Runner, '_call', calling)
        train(create_config(CHANGES), tmp_path)
    assert 'Stopped by SIGTERM' in capsys.readouterr().out
    train(create_config(CHANGES), tmp_path)
    resumed, whole = (saved_state(folder / 'checkpoints', END) for folder in (tmp_path, trained))
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not np.array_equal(resumed[name], whole[name])]
    assert logged_metrics(tmp_path) == logged_metrics(trained)


def test_a_case_is_segmented_as_validation_does(trained):
    """Window, fit and padding are the same; the score of the watch follows from the masks of the cases."""
    segmenter = SegmenterEnsemble.load([trained], None, best=True, mirror=False, all_parts=True)
    first = segmenter.first
    images = open_images(first.recipe, 'validation', train=False)
    data = images.volumes(first.recipe.distance)
    for volume, case in zip(data.volumes(), images.cases(1), strict=True):
        expected = np.stack(list(first.predict(first.variables, volume.images(), volume.count))).argmax(axis=-1)
        np.testing.assert_array_equal(segmenter.segment(case).ids, expected[:, 1:15])
    dice = measure_volume_dice(first.predict, first.variables, data, 2)
    scores = [line['dice'] for line in logged_metrics(trained) if 'dice' in line]
    assert dice.mean() == pytest.approx(max(scores), abs=1e-6)


def test_networks_of_slices_and_of_volumes_are_averaged(create_config, trained, tmp_path):
    train(create_config({'context': 0, 'schedule.steps': 2, 'watch.steps': 2}), tmp_path / 'slices')
    folders = [trained, tmp_path / 'slices']
    both = SegmenterEnsemble.load(folders, None, best=False, mirror=False, all_parts=True)
    case = next(iter(open_images(both.first.recipe, 'test', train=False).cases(1)))
    own = [np.stack(list(member.probabilities(case))) for member in both.members]
    np.testing.assert_array_equal(both.segment(case).ids, (own[0] + own[1]).argmax(axis=-1))
    with pytest.raises(UserError, match='its network has other layers'):
        train(create_config(CHANGES | {'start_from': str(tmp_path / 'slices')}), tmp_path / 'other')


def test_another_distance_is_resampled_and_undone(trained):
    """A volume whose slices are twice as far apart has masks on its own slices."""
    segmenter = SegmenterEnsemble.load([trained], None, best=True, mirror=True, all_parts=True)
    images = open_images(segmenter.first.recipe, 'test', train=False)
    case = next(iter(images.cases(1)))
    records = tuple(dataclasses.replace(record, spacing=(0.5, 0.5, 4.0)) for record in case.records)
    wide = dataclasses.replace(case, records=records)
    found = np.stack(list(segmenter.first.probabilities(wide)))
    assert found.shape == (3, 14, 16, 3)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    assert np.abs(found - np.stack(list(segmenter.first.probabilities(case)))).max() > 1e-4


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'dimensions': 2, 'volume.slices': 0}, r'is for volumes; add --config.dimensions=3'),
        ({'volume.slices': 8}, r'holds a run with volume.slices=4, not 8'),
    ],
)
def test_another_run_in_the_workdir(create_config, trained, changes, expected):
    with pytest.raises(UserError, match=expected):
        train_and_evaluate(create_config(CHANGES | changes), trained)


def test_single_images_are_no_volumes(create_config, tmp_path, data_dir):
    write(volumes(slices=1), data_dir, 'single')
    with pytest.raises(UserError, match=r'single has single images, no volumes; use --config.dimensions=2'):
        train_and_evaluate(create_config(CHANGES | {'data.name': 'single'}), tmp_path / 'run')
    assert list(tmp_path.iterdir()) == []


def test_the_commands_measure_and_answer(trained, data_dir, tmp_path):
    commands = Commands(data_dir.parent)
    done = commands.run('segment.evaluate', f'--workdir={trained}', '--nodraw')
    assert done.returncode == 0, done.stdout
    report = json.loads((trained / 'evaluation' / 'report.json').read_text())
    assert report['scores']['cases'] == SPLITS['test']
    values = np.random.default_rng(0).integers(0, 200, (16, 14, 6)).astype(np.uint8)
    nib.save(nib.Nifti1Image(values, np.diag([0.5, 0.5, 1.0, 1.0])), tmp_path / 'volume.nii.gz')
    out = tmp_path / 'out'
    done = commands.run('segment.predict', f'--workdir={trained}', f'--out={out}', str(tmp_path / 'volume.nii.gz'))
    assert done.returncode == 0, done.stdout
    (mask,) = (out / 'masks').rglob('*.nii.gz')
    assert nib.load(mask).shape == (16, 14, 6)
