"""Channels that a config leaves open are those of the stored images, and stay what they were when a run began."""

import numpy as np
import pytest

import input_pipeline
from backbones.images import facts_of, settle_data
from configs.backbones import classifier
from configs.backbones.schema import CLASSIFIER
from configs.detect import detector
from configs.detect.schema import DETECTOR
from configs.gan import tiny
from configs.gan.schema import GAN
from configs.schema import as_begun, run_record
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.recipe import create_recipe
from gan.train import _describe_unused
from tests.input_pipeline.items import make_item, random_images, write


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    return tmp_path


def _prepare(folder, channels: int, name: str = 'mine') -> None:
    """Images of two classes with masks of the ids 1 and 3."""
    masks = [np.full((8, 16, 1), value, np.uint8) for value in (0, 1, 3)]
    images = random_images(12, (8, 16, channels), np.uint8)
    items = [
        make_item(f'{number}', [image], label='ab'[number % 2], masks=[masks[number % 3]])
        for number, image in enumerate(images)
    ]
    write(items, folder, name)


def _config(channels: int = 0, name: str = 'mine'):
    config = tiny.get_config()
    config.data.name, config.channels = name, channels
    return config


def test_the_content_of_a_data_set_is_what_its_files_hold(data_dir):
    _prepare(data_dir, 3)
    assert input_pipeline.find_content('mine', '') == input_pipeline.find_content('mine', data_dir)
    content = input_pipeline.find_content('mine', data_dir)
    assert (content.channels, content.classes, content.unlabelled) == (3, ('a', 'b'), False)
    assert (content.mask_classes, content.side) == (3, 16)
    assert input_pipeline.find_content('other', data_dir) is None


def test_a_set_of_the_catalogue_has_the_content_of_its_features(data_dir):
    _prepare(data_dir, 3)
    (data_dir / 'mine' / '1.0.0' / 'summary.json').unlink()
    content = input_pipeline.find_content('mine', data_dir)
    assert (content.channels, content.classes, content.mask_classes) == (3, ('a', 'b'), 0)


def test_a_damaged_set_is_refused(data_dir):
    _prepare(data_dir, 3)
    (data_dir / 'mine' / '1.0.0' / 'summary.json').write_text('{}')
    with pytest.raises(input_pipeline.DataError, match='the data set is damaged'):
        create_recipe(_config())


@pytest.mark.parametrize(('stored', 'configured', 'used'), [(1, 0, 1), (3, 0, 3), (3, 1, 1), (1, 3, 3)])
def test_open_channels_are_those_of_the_data_and_others_stay(data_dir, tmp_path, stored, configured, used):
    _prepare(data_dir, stored)
    recipe = create_recipe(_config(configured))
    assert recipe.images.preprocessing.channels == used == recipe.fields['channels']
    kept, found = settle_data(_config(configured), tmp_path / 'run')
    assert kept.channels == found.channels == used


def test_phantoms_that_are_not_drawn_yet_are_grey():
    assert create_recipe(_config(name='phantom_new')).images.preprocessing.channels == 1


def test_a_run_that_made_colour_grey_goes_on_so(data_dir, tmp_path):
    _prepare(data_dir, 3)
    record = run_record(GAN, _config(1))
    workdirs.prepare_workdir(tmp_path / 'run', record.config, fixed=record.fixed, write=True)
    begun = as_begun(GAN, _config(), tmp_path / 'run')
    assert settle_data(begun, tmp_path / 'run')[0].channels == 1
    assert as_begun(GAN, _config(3), tmp_path / 'run').channels == 3  # asked for, and then refused: it is fixed
    assert 'channels' in record.fixed


@pytest.mark.parametrize(('schema', 'config'), [(DETECTOR, detector), (CLASSIFIER, classifier)])
def test_detectors_and_classifiers_too(data_dir, tmp_path, schema, config):
    _prepare(data_dir, 3)
    fields = config.get_config()
    fields.data.name = 'mine'
    assert settle_data(as_begun(schema, fields, tmp_path), tmp_path)[0].channels == 3


@pytest.mark.parametrize(
    ('fields', 'lines'),
    [
        ({}, ['masks (class ids up to 3)', 'The 2 classes are not used']),
        ({'channels': 1}, ['are made grey', 'masks (class ids up to 3)', 'The 2 classes are not used']),
        ({'conditional': True, 'mask_classes': 3}, []),
    ],
)
def test_what_the_data_have_and_a_run_leaves_aside_is_told(data_dir, fields, lines):
    _prepare(data_dir, 3)
    config = _config()
    config.update(fields)
    recipe = create_recipe(config)
    told = list(_describe_unused(facts_of(recipe.images.open('train', flip=False, in_memory=False)), recipe))
    assert len(told) == len(lines)
    assert all(part in line for part, line in zip(lines, told, strict=True))


def test_a_config_without_the_field_is_refused_where_fields_are_checked(tmp_path):
    config = _config().unlock()
    del config.channels
    found = settle_data(config, tmp_path / 'run')[1]
    with pytest.raises(UserError, match=r'config\.channels is missing'):
        create_recipe(found)
