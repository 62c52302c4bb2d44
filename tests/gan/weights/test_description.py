"""generator.json: whatever is wrong with it is one sentence."""

import json

import pytest

from foundation.training.errors import UserError
from gan.generator import TrainedGenerator, read_recipe, restore_state
from gan.reporting.runs import read_runs
from gan.weights import is_exported, read_description
from tests.gan.weights.generators import FACTS, create_config, write_generator
from tests.gan.weights.rewriting import rewrite


@pytest.fixture
def folder(tmp_path):
    write_generator(tmp_path / 'out')
    return tmp_path / 'out'


def test_it_is_read_as_it_was_written(folder):
    described = read_description(folder)
    config = create_config('progressive')
    config.data.data_dir, config.channels = '', 1  # as its data are
    assert json.loads(json.dumps(described.recipe.fields)) == json.loads(config.to_json_best_effort())
    assert (described.facts, described.position.phase, described.stage.resolution) == (FACTS, '8x8', 8)


def test_readers_of_runs_know_it(folder):
    assert is_exported(folder)
    assert read_recipe(folder).conditional
    (run,) = read_runs([folder])
    assert (run.facts, run.lines, run.grids, run.images_seen) == (FACTS, (), {}, 0)


def test_a_run_beside_it_is_a_run(folder):
    (folder / 'config.json').write_text('{}')
    assert not is_exported(folder)


@pytest.mark.parametrize('flags', [{'step': 3}, {'best': True}], ids=str)
def test_it_has_one_checkpoint(folder, flags):
    with pytest.raises(UserError, match='of one checkpoint; leave --step and --best out'):
        TrainedGenerator.load(folder, **flags)


def test_it_cannot_be_trained_on(folder):
    with pytest.raises(UserError, match='not a run'):
        restore_state(folder)


def _later(content):
    content['format_version'] = 3


def _no_phase(content):
    content['position']['phase'] = '64x64'


def _beyond(content):
    content['position']['images_seen'] = 10**9


def _no_number(content):
    content['position']['images_seen'] = 'many'


def _no_config(content):
    content['config'] = []


def _no_facts(content):
    del content['facts']['classes']


def _no_field(content):
    del content['config']['generator']['fmap_max']


def _no_files(content):
    del content['files']


def _odd_shard(content):
    content['shards'] = [{'name': 'generator-1-of-1.safetensors'}]


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (_later, 'is of format version 3, and this software reads 2'),
        *((change, 'was altered or damaged') for change in (
            _no_phase, _beyond, _no_number, _no_config, _no_facts, _no_field, _no_files, _odd_shard,
        )),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(folder, change, said):
    rewrite(folder, change)
    with pytest.raises(UserError, match=said):
        read_description(folder)


def test_what_was_changed_is_refused(folder):
    path = folder / 'generator.json'
    path.write_text(path.read_text().replace('"images_seen": 40', '"images_seen": 48'))
    with pytest.raises(UserError, match='its own checksum does not match'):
        read_description(folder)
    path.write_text('[]')
    with pytest.raises(UserError, match='is damaged'):
        read_description(folder)
