"""A run goes on with the data that it had, wherever data sets are looked for now, and says so."""

import json

import pytest

from backbones.images import FOLDER_FILE, DataFacts, find_folder, settle_data
from configs.gan import tiny
from foundation.training.errors import UserError
from foundation.training.workdir import CONFIG_FILE, write_json
from gan.generator import read_recipe

FACTS = DataFacts('phantom_tiny', 'ab' * 32, 4, 2, (), 'uint8', None)


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A workdir whose data were in `former`, while data sets are looked for in `usual`."""
    (tmp_path / 'former' / 'phantom_tiny' / '1.0.0').mkdir(parents=True)
    (tmp_path / 'run').mkdir()
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'former'))
    for name, content in FACTS.files('').items():
        write_json(tmp_path / 'run' / name, content)
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'usual'))
    return tmp_path


def test_the_former_folder_is_found_and_told(begun, caplog):
    assert find_folder('phantom_tiny', '', begun / 'run') == str(begun / 'former')
    assert f"{begun / 'usual'} has no data set 'phantom_tiny'; that of {begun / 'former'} is used" in caplog.text


def test_the_config_that_a_run_keeps_names_no_former_folder(begun):
    config = tiny.get_config()
    config.channels = 1
    kept, found = settle_data(config, begun / 'run')
    assert (config.data.data_dir, kept.data.data_dir) == ('', '')
    assert found.data.data_dir == str(begun / 'former')


def test_the_commands_after_training_find_it_too_and_tell_it_once(begun, caplog):
    write_json(begun / 'run' / CONFIG_FILE, tiny.get_config().to_dict())
    assert read_recipe(begun / 'run').images.data_dir == str(begun / 'former')
    assert read_recipe(begun / 'run').images.find(begun / 'run').data_dir == str(begun / 'former')
    assert read_recipe(begun / 'run').fields['data']['data_dir'] == ''
    assert caplog.text.count('is used, as in training') == 1


def test_a_folder_that_holds_the_data_comes_first(begun):
    (begun / 'usual' / 'phantom_tiny' / '1.0.0').mkdir(parents=True)
    assert find_folder('phantom_tiny', '', begun / 'run') == ''


def test_a_folder_that_was_asked_for_is_not_replaced(begun):
    asked = str(begun / 'asked')
    assert find_folder('phantom_tiny', asked, begun / 'run') == asked


def test_a_run_that_begins_or_lost_its_data_is_left_as_it_is(begun):
    assert find_folder('phantom_tiny', '', begun / 'new') == ''
    (begun / 'former').rename(begun / 'moved')
    assert find_folder('phantom_tiny', '', begun / 'run') == ''


def test_other_data_of_the_name_are_refused_with_the_folder_of_the_former(begun):
    facts = json.loads((begun / 'run' / 'data.json').read_text())
    other = DataFacts(**facts | {'fingerprint': 'cd' * 32, 'classes': ()})
    with pytest.raises(UserError, match=r'prepare the data as they were \(they were in .*former\)'):
        other.check_same(begun / 'run')
    (begun / 'run' / FOLDER_FILE).unlink()
    with pytest.raises(UserError, match='prepare the data as they were, or use another --workdir'):
        other.check_same(begun / 'run')
