"""Private training from its config to what is passed on: the budget is kept, and told wherever networks go."""

import json
import shutil
import stat

import pytest

from configs.gan import private
from foundation.training.errors import UserError
from gan.differential_privacy.ledger import PRIVACY_FILE, SECRET_FILE, PrivacySpent, read_spent
from gan.exports.folder import write_generator
from gan.generation.card import CARD_FILE
from gan.generation.origin import find_origin
from gan.generator import TrainedGenerator
from gan.reporting import tables
from gan.reporting.runs import read_runs
from gan.train import train_and_evaluate
from tests.foundation.training.runs import logged_metrics, saved_state

pytestmark = pytest.mark.slow
_END = 64  # images of the short schedule: 4x4 ends at 16, 8x8 has faded in at 32


def _create(**privacy):
    """A few steps at 4x4 and 8x8 on few phantoms."""
    config = private.get_config()
    config.resolution = 8
    config.data.name = 'phantom_private'
    config.data.phantom.count, config.data.phantom.size = 48, 8
    config.schedule.initial_resolution = 4
    config.schedule.batch_size = {'at_4': 8, 'at_8': 8}
    config.schedule.fade_images = config.schedule.stable_images = 16
    config.schedule.final_images = 16
    config.samples.rows = 1
    config.run.log_images = 8
    config.run.checkpoint_images = 32
    config.privacy.update({'epsilon': 0.0, 'delta': 1e-3} | privacy)
    return config


def _train(workdir, final_images=16, **privacy):
    config = _create(**privacy)
    config.schedule.final_images = final_images
    train_and_evaluate(config, workdir)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The workdir of a run that trained without a pause for 32 images more, and its environment."""
    folder = tmp_path_factory.mktemp('private')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TFDS_DATA_DIR', str(folder / 'data'))
        _train(folder / 'whole', final_images=48, noise_multiplier=1.5)
        yield folder / 'whole'


def test_a_run_that_stopped_goes_on_bit_for_bit_with_its_own_coins_and_noise(whole, tmp_path):
    workdir = tmp_path / 'parts'
    workdir.mkdir()
    shutil.copy(whole / SECRET_FILE, workdir)
    _train(workdir, noise_multiplier=1.5)
    assert read_spent(workdir, _END).epsilon < read_spent(whole, _END + 32).epsilon
    _train(workdir, final_images=48, noise_multiplier=1.5)
    step = (_END + 32) // 8
    one, other = (saved_state(folder / 'checkpoints', step) for folder in (workdir, whole))
    assert one.keys() == other.keys()
    assert not [name for name in one if (one[name] != other[name]).any()]
    assert read_spent(workdir, _END + 32) == read_spent(whole, _END + 32)


def test_the_log_counts_what_is_spent(whole):
    spent = [line['epsilon'] for line in logged_metrics(whole)]
    assert 0 < spent[0] < spent[-1]
    assert spent == sorted(spent)
    kept = json.loads((whole / PRIVACY_FILE).read_text())
    assert kept['epsilons'][-1] == [_END + 32, spent[-1]]
    assert (kept['noise_multiplier'], kept['unit'], kept['delta']) == (1.5, 'image', 1e-3)


def test_the_secret_is_for_its_owner_and_in_no_other_file(whole):
    path = whole / SECRET_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = json.loads(path.read_text())['secret']
    others = [file for file in whole.rglob('*') if file.is_file() and file != path]
    assert len(others) > 5
    for number in (secret, str(int(secret, 16))):
        assert not [file for file in others if number.encode() in file.read_bytes()]


def test_it_stands_where_networks_go(whole, tmp_path):
    (run,), trained = read_runs([whole]), TrainedGenerator.load(whole)
    expected = read_spent(whole, _END + 32)
    assert trained.privacy == expected
    assert PrivacySpent(**find_origin(trained, run, seed=0).model.privacy) == expected
    assert dict(map(tuple, tables.summarize([run])))['differential privacy'] == str(expected)
    write_generator(tmp_path / 'out', trained, run, dtype='float32', batch_size=4, licence='', release=None)
    assert TrainedGenerator.load(tmp_path / 'out').privacy == expected
    assert f'epsilon {expected.epsilon:.3g} at delta 0.001' in (tmp_path / 'out' / CARD_FILE).read_text()
    (exported,) = read_runs([tmp_path / 'out'])
    assert dict(map(tuple, tables.summarize([exported])))['differential privacy'] == str(expected)


def test_nothing_trains_beyond_the_budget(whole, tmp_path, caplog):
    workdir = tmp_path / 'run'
    with caplog.at_level('INFO'):
        _train(workdir, epsilon=4.0)
    assert 'Differential privacy: each image of ' in caplog.text
    before = {file: file.read_bytes() for file in workdir.rglob('*') if file.is_file()}
    found = json.loads((workdir / PRIVACY_FILE).read_text())
    assert 3.9 < found['epsilons'][-1][1] <= 4
    with pytest.raises(UserError, match=r'ends after 128 images, which would spend .*epsilon is 4; train'):
        _train(workdir, final_images=80, epsilon=4.0)
    assert before == {file: file.read_bytes() for file in workdir.rglob('*') if file.is_file()}
    _train(workdir, final_images=80, epsilon=8.0)
    later = json.loads((workdir / PRIVACY_FILE).read_text())
    assert later['noise_multiplier'] == found['noise_multiplier']
    assert 4 < later['epsilons'][-1][1] <= 8


def test_without_its_secret_a_run_does_not_go_on(whole, tmp_path):
    shutil.copytree(whole, tmp_path / 'run')
    (tmp_path / 'run' / SECRET_FILE).unlink()
    with pytest.raises(UserError, match=r'noise_secret\.json is gone, from which the noise of this run comes'):
        _train(tmp_path / 'run', final_images=80, noise_multiplier=1.5)


def test_without_its_record_or_with_a_damaged_one_a_run_does_not_go_on(whole, tmp_path):
    workdir = tmp_path / 'run'
    shutil.copytree(whole, workdir)
    for text in ('{}', '{"noise_multiplier": "much"}', '{"noise_multiplier": 0}', '{"noise_multiplier": null}'):
        (workdir / PRIVACY_FILE).write_text(text)
        with pytest.raises(UserError, match=r'privacy\.json is damaged \(.*\); restore it'):
            _train(workdir, final_images=80, noise_multiplier=1.5)
    (workdir / PRIVACY_FILE).unlink()
    with pytest.raises(UserError, match=r'privacy\.json is gone, which tells the noise of this run'):
        _train(workdir, final_images=80, noise_multiplier=1.5)


def test_a_run_with_a_budget_does_not_go_on_without_noise(whole, tmp_path):
    _train(tmp_path / 'run', epsilon=4.0)
    with pytest.raises(UserError, match='holds a run with differential privacy, which steps without noise would'):
        _train(tmp_path / 'run', final_images=80)


@pytest.mark.parametrize(
    ('privacy', 'expected'),
    [
        (
            {'noise_multiplier': 1.0, 'delta': 0.2},
            r'delta is 0\.2, but must be below 1 / \d+, one over',
        ),
        (
            {'noise_multiplier': 1e-3, 'epsilon': 1.0},
            'would spend epsilon .*config.privacy.epsilon is 1; train',
        ),
        ({'epsilon': 1e-7, 'delta': 1e-9}, 'needs noise of more than 2000 times'),
    ],
)
def test_terms_that_cannot_be_kept_leave_nothing_behind(whole, tmp_path, privacy, expected):
    with pytest.raises(UserError, match=expected):
        _train(tmp_path / 'run', **privacy)
    assert not (tmp_path / 'run').exists()


def test_a_run_on_the_same_images_is_no_beginning(whole, tmp_path):
    config = _create(noise_multiplier=1.0)
    config.start_from.workdir = str(whole)
    with pytest.raises(UserError, match='was trained on the same images'):
        train_and_evaluate(config, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()
