"""The fingerprint of the training patients, what follows from it, and what a config may say."""

import dataclasses
import functools
import operator

import numpy as np
import pytest

from configs.schema import as_begun
from configs.segment.schema import UNET
from foundation.training.errors import UserError
from segment.data import open_stored
from segment.fingerprint import Fingerprint, take_fingerprint
from segment.recipe import create_recipe
from segment.suggestions import resolve as resolve_suggestions
from tests.input_pipeline.items import make_item, write
from tests.segment.conftest import SPLITS, volumes

FINGERPRINT = Fingerprint(
    name='drawn',
    data='',
    images=100,
    patients=10,
    cases=10,
    slices=(8, 10, 12),
    height=(200.0, 230.0, 240.0),
    width=(180.0, 190.0, 200.0),
    spacing=(3.0, 1.0, 1.0),
    channels=1,
    modalities={'MR': 10},
    intensities=(0.0, 100.0, 900.0),
    foreground_intensities=(50.0, 200.0, 400.0),
    pixel_shares=(0.9, 0.06, 0.04),
    case_shares=(1.0, 0.5),
)
ASKED = {
    'resolution': 0,
    'patch': 0,
    'channels': 0,
    'mask_classes': 0,
    'data.fit': 'suggested',
    'data.window': 'suggested',
    'network.depth': 0,
    'schedule.batch_size': 0,
}


@pytest.fixture
def resolve(create_config):
    """Returns `resolve(config changes, fingerprint changes)`: what the fields became."""

    def run(given=None, found=None):
        config = create_config(ASKED | (given or {}))
        resolve_suggestions(config, lambda request: dataclasses.replace(FINGERPRINT, **(found or {})))
        create_recipe(config)
        return {name: functools.reduce(operator.getitem, name.split('.'), config) for name in ASKED}

    return run


def _fingerprint(create_config, name):
    config = create_config(ASKED | {'data.name': name})
    return resolve_suggestions(config, lambda request: take_fingerprint(open_stored(request)))


def test_a_fingerprint_tells_what_the_training_images_are_like(create_config):
    found = _fingerprint(create_config, 'volumes')
    count = SPLITS['train']
    assert (found.images, found.patients, found.cases) == (3 * count, count, count)
    assert (found.slices, found.height, found.width) == ((3, 3, 3), (14, 14, 14), (16, 16, 16))
    assert found.spacing == (2.0, 0.5, 0.5)
    assert found.modalities == {'MR': count}
    assert found.channels == 1
    items = [item for item in volumes() if item.split == 'train']
    records = [record for item in items for record in item.load()]
    ids = np.concatenate([record.mask.ravel() for record in records])
    np.testing.assert_allclose(found.pixel_shares, np.bincount(ids) / len(ids))
    assert found.case_shares == (1.0, 1.0)
    values = np.concatenate([record.physical.ravel() for record in records])
    np.testing.assert_allclose(found.intensities, np.percentile(values, (0.5, 50, 99.5)), rtol=1e-5)
    inside = np.percentile(values[ids > 0], (0.5, 50, 99.5))
    np.testing.assert_allclose(found.foreground_intensities, inside, rtol=1e-5)


def test_a_fingerprint_does_not_see_other_patients(create_config, data_dir):
    """Brighter and larger images, with another class, in the validation and the test split."""
    others = [item for item in volumes() if item.split == 'train']
    for number, split in enumerate(('validation', 'test')):
        image, mask = np.full((40, 50, 1), 255, np.uint8), np.full((40, 50, 1), 2, np.uint8)
        others.append(
            make_item(f'x{number}', [image], masks=[mask], split=split, modality='CT', spacing=(9, 9, 9))
        )
    write(others, data_dir, 'others')
    plain, other = (_fingerprint(create_config, name) for name in ('volumes', 'others'))
    assert other == dataclasses.replace(plain, name='others', data=other.data)


def test_classes_are_those_of_the_whole_set(create_config):
    """A class that training lacks is told, not forgotten."""
    found = _fingerprint(create_config, 'untrained_class')
    assert found.case_shares == (1.0, 0.0)
    assert found.pixel_shares[2] == 0


def test_what_is_suggested(resolve):
    assert resolve() == {
        'resolution': 256, 'patch': 256, 'channels': 1, 'mask_classes': 2, 'data.fit': 'native',
        'data.window': 'auto', 'network.depth': 6, 'schedule.batch_size': 8,
    }  # fmt: skip


VOLUMES = (
    'patch',
    'network.depth',
    'schedule.batch_size',
    *(f'volume.{name}' for name in ('slices', 'distance', 'strides', 'kernels')),
)


@pytest.mark.parametrize(
    ('given', 'found', 'expected'),
    [
        ({}, {}, (160, 5, 2, 10, 3.0, (1, 2, 1, 1, 1), (1, 3, 3, 3, 3, 3))),
        ({'resolution': 64}, {}, (64, 4, 12, 10, 3.0, (2, 1, 1, 1), (3, 3, 3, 3, 3))),  # pixels of 3.6 mm
        ({}, {'spacing': (0.0, 0.0, 0.0)}, (160, 5, 2, 10, -1.0, (2, 1, 1, 1, 1), (3,) * 6)),
        ({'volume.distance': 1.0}, {}, (80, 4, 2, 32, 1.0, (2, 2, 2, 1), (3,) * 5)),
        ({'volume.slices': 4, 'patch': 32}, {}, (32, 3, 32, 4, 3.0, (1, 1, 1), (1, 3, 3, 3))),
    ],
)
def test_what_is_suggested_for_volumes(create_config, given, found, expected):
    open_fields = {'volume.slices': 0, 'volume.distance': 0.0, 'volume.strides': (), 'volume.kernels': ()}
    config = create_config(ASKED | {'dimensions': 3, 'context': 0} | open_fields | given)
    resolve_suggestions(config, lambda request: dataclasses.replace(FINGERPRINT, **found))
    assert tuple(functools.reduce(operator.getitem, name.split('.'), config) for name in VOLUMES) == expected
    recipe = create_recipe(config)
    assert (recipe.slices, recipe.network.halvings) == (expected[3], expected[1])


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        ({'modalities': {'CT': 10}}, {'data.window': 'dataset'}),
        ({'modalities': {'CT': 9, 'MR': 1}}, {'data.window': 'auto'}),
        ({'case_shares': (1.0,)}, {'mask_classes': 1}),
        ({'width': (1.0, 400.0, 500.0)}, {'resolution': 512, 'patch': 512, 'data.fit': 'native'}),
        ({'width': (1.0, 400.0, 513.0)}, {'resolution': 512, 'patch': 512, 'data.fit': 'pad'}),
        ({'height': (9.0, 9.0, 9.0), 'width': (7.0, 7.0, 7.0)}, {'resolution': 32, 'patch': 32}),
        ({'height': (9.0, 9.0, 9.0), 'width': (7.0, 7.0, 7.0)}, {'network.depth': 3, 'schedule.batch_size': 32}),
    ],
)
def test_suggestions_follow_from_the_images(resolve, found, expected):
    assert expected.items() <= resolve(found=found).items()


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({'resolution': 64}, {'resolution': 64, 'patch': 64, 'data.fit': 'pad', 'network.depth': 4}),
        ({'resolution': 240}, {'resolution': 240, 'patch': 240, 'data.fit': 'native'}),
        ({'resolution': 1024}, {'resolution': 1024, 'patch': 512, 'data.fit': 'native'}),
        ({'patch': 32}, {'resolution': 256, 'patch': 32, 'network.depth': 3, 'schedule.batch_size': 32}),
        ({'network.depth': 2, 'schedule.batch_size': 3}, {'network.depth': 2, 'schedule.batch_size': 3}),
        ({'data.window': 'volume', 'mask_classes': 5}, {'data.window': 'volume', 'mask_classes': 5}),
        ({'resolution': 64, 'data.fit': 'resize'}, {'resolution': 64, 'data.fit': 'resize'}),
    ],
)
def test_what_is_given_stays_and_the_rest_follows_it(resolve, given, expected):
    assert expected.items() <= resolve(given).items()


def test_colour_images_that_are_made_grey_are_told(resolve, caplog):
    caplog.set_level('INFO')
    assert resolve({}, {'channels': 3})['channels'] == 3
    assert resolve({'channels': 1}, {'channels': 3})['channels'] == 1
    assert 'config.channels = 1 as configured; suggested is 3: as the images are stored.' in caplog.text


def test_native_images_get_all_the_room_they_need(resolve):
    found = {'width': (1.0, 400.0, 600.0)}
    assert resolve({'data.fit': 'native'}, found)['resolution'] == 608
    assert resolve({'data.fit': 'pad'}, found)['resolution'] == 512


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'network.depth': 9}, r'config.network.depth is 9, but must be at most 8\.'),
        ({'network.width': 0}, r'config.network.width is 0, but must be at least 1\.'),
        ({'network.normalization': 'layer'}, r"config.network.normalization is 'layer'; choose one of"),
        ({'optimizer.name': 'lion'}, r"config.optimizer.name is 'lion'; choose one of \['adamw', 'sgd'\]\."),
        ({'optimizer.clip': 0.0}, r'config.optimizer.clip is 0.0, but must be at least'),
        ({'data.fit': 'crop'}, r"config.data.fit is 'crop'; choose one of"),
        ({'loss.dice': 0.0, 'loss.cross_entropy': 0.0}, r'are both 0; nothing would be learnt\.'),
        ({'augment.mirror': ('diagonal',)}, r"config.augment.mirror is \('diagonal',\); choose among"),
        ({'augment.rotation': 1.5}, r'config.augment.rotation is 1.5, but must be at most 1.0\.'),
        ({'augment.zoom': (1.4, 0.7)}, r'config.augment.zoom is \(1.4, 0.7\); give two positive numbers'),
        ({'augment.zoom': (0.0, 1.0)}, r'give two positive numbers, the lower first\.'),
        ({'augment.sigma': (1.0,)}, r'config.augment.sigma is \(1.0,\); give two positive numbers'),
        ({'augment.gamma_range': (0.7, float('nan'))}, r'config.augment.gamma_range .* give two positive numbers'),
        (
            {'schedule.foreground_share': 1.1},
            r'config.schedule.foreground_share is 1.1, but must be at most 1.0\.',
        ),
        ({'schedule.steps': 0}, r'config.schedule.steps is 0, but must be at least 1\.'),
        ({'context': -1}, r'config.context is -1, but must be at least 0\.'),
        ({'mask_classes': 200}, r'config.mask_classes is 200, but must be at most 127\.'),
        ({'data.class_names': ('a', 'a')}, r"class_names are \('a', 'a'\); give each of the 2 classes a name\."),
    ],
)
def test_values_that_cannot_be_used_are_refused(create_config, changes, expected):
    config = create_config({'mask_classes': 2, 'data.window': 'auto'} | changes)
    with pytest.raises(UserError, match=expected) as refused:
        create_recipe(config)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('given', [{'data.fit': 'crop'}, {'resolution': 4}, {'optimizer.learning_rate': -1.0}])
def test_what_is_wrong_at_first_sight_is_told_before_the_data_are_looked_at(create_config, given):
    def look(request):
        raise AssertionError('the data were looked at')

    with pytest.raises(UserError, match='config'):
        resolve_suggestions(create_config(ASKED | given), look)
    with pytest.raises(AssertionError):
        resolve_suggestions(create_config(ASKED), look)


def test_runs_that_are_older_than_volumes_go_on(create_config, tmp_path):
    """Their config has neither `dimensions` nor `volume`; so has the config with which they go on."""
    config = create_config(ASKED)
    old = config.copy_and_resolve_references().unlock()
    del old['dimensions'], old['volume']
    (tmp_path / 'config.json').write_text(old.to_json_best_effort())
    begun = as_begun(UNET, config, tmp_path)
    assert 'dimensions' not in begun
    assert 'volume' not in begun
    resolve_suggestions(begun, lambda request: FINGERPRINT)
    assert create_recipe(begun).slices is None
