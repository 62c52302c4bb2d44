"""The images of a detector: its classes, labels by chance, and what is refused."""

import numpy as np
import pytest

from detect.data import binary_labels, describe_split, is_real
from detect.recipe import create_recipe
from foundation.training.errors import UserError
from input_pipeline import DataError
from tests.detect import drawn
from tests.input_pipeline.items import make_item, random_images, write


def _open(config, split, **options):
    return create_recipe(config).data.open(split, **options)


@pytest.fixture(scope='module')
def images(create_config):
    """The training images."""
    return _open(create_config(), 'train', train=True)


def test_labels_follow_the_sources(images, create_config):
    count = drawn.IMAGES_PER_PATIENT * drawn.SPLITS['train']
    assert images.classes == ('real', 'blocks', 'noise')
    assert np.bincount(images.labels).tolist() == [count, count // 2, count // 2]
    np.testing.assert_array_equal(binary_labels(images), images.labels > 0)
    np.testing.assert_array_equal(is_real(images), images.labels == 0)
    names = [key.partition('/')[0] for key in images.records.keys]
    assert names == [images.classes[label] for label in images.labels]


def test_a_source_may_be_left_out(create_config):
    images = _open(create_config({'data.sources': ('noise',)}), 'train', train=False)
    assert images.classes == ('real', 'noise')
    assert set(images.records.labels) == {'real', 'noise'}


def test_modalities_may_be_left_out(create_config):
    config = create_config({'data.modalities': ('CT', 'unknown')})
    images = _open(config, 'train', train=False)
    assert set(images.records.modalities) == {'CT', 'unknown'}
    with pytest.raises(UserError, match=r'mixed has \d+ real and 0 synthetic images in its train split'):
        _open(create_config({'data.modalities': ('CT',)}), 'train', train=False)


def test_options_tell_the_form(images):
    assert images.options['form']['resolution'] == drawn.SIZE
    assert images.options['source'] == 'detection'


def test_masks_are_there_where_they_are_asked_for(create_config):
    images = _open(create_config(), 'test', train=False, mask_classes=1)
    batches = images.in_order(32, 64)
    batch = next(batches)
    batches.close()
    assert batch['image'].shape == (48, 32, 32, 2)
    shown = batch['image'][..., 1].mean(axis=(1, 2))
    np.testing.assert_allclose(shown, np.where(is_real(images), -1, 1))


@pytest.mark.parametrize('seed', [0, 1])
def test_random_labels_are_one_coin_for_each_patient(create_config, images, seed):
    config = create_config({'data.labels': 'random', 'seed': seed})
    shuffled = _open(config, 'train', train=True)
    by_patient = {}
    for patient, label in zip(shuffled.records.patients, shuffled.labels, strict=True):
        by_patient.setdefault(patient, set()).add(int(label))
    assert all(len(labels) == 1 for labels in by_patient.values())
    assert len(by_patient) == images.num_patients < images.num_examples
    assert set.union(*by_patient.values()) == {0, 1}
    truth = is_real(shuffled)
    for kind in (truth, ~truth):
        assert 0.2 < binary_labels(shuffled)[kind].mean() < 0.8
    assert (shuffled.labels > 0).tolist() != (images.labels > 0).tolist()
    np.testing.assert_array_equal(truth, is_real(images))


def test_random_labels_follow_the_seed(create_config):
    first, again, other = (
        create_recipe(create_config({'data.labels': 'random', 'seed': seed}))
        .data.open('train', train=False)
        .labels
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_relabelled_images_are_the_same_images(images):
    other = images.relabelled(np.arange(images.num_examples, dtype=np.int32) % 2, ('a', 'b'))
    before, after = (own.decoded(32) for own in (images, other))
    np.testing.assert_array_equal(before['image'], after['image'])
    np.testing.assert_array_equal(after['label'], np.arange(images.num_examples) % 2)
    np.testing.assert_array_equal(before['label'], images.labels)
    batches = other.in_order(32, 10)
    np.testing.assert_array_equal(next(batches)['label'], np.arange(10) % 2)
    batches.close()
    assert (other.classes, images.classes) == (('a', 'b'), ('real', 'blocks', 'noise'))
    assert other.fingerprint == images.fingerprint


def test_a_split_is_described_in_stored_order(images):
    def describe(batch):
        return {'means': batch.mean(axis=(1, 2, 3)), 'first': batch[:, :1, :1, 0]}

    found = describe_split(describe, images, 32, 7)
    shown = images.decoded(32)['image'] / np.float32(127.5) - 1
    np.testing.assert_allclose(found['means'], shown.mean(axis=(1, 2, 3)), atol=1e-5)
    assert found['first'].shape == (images.num_examples, 1, 1)


def test_a_set_that_was_not_prepared_for_detectors(create_config, detector_data, tmp_path):
    with pytest.raises(UserError, match='reals was not written by detect'):
        _open(create_config({'data.name': 'reals'}), 'train', train=False)
    picture = random_images(1, (32, 32, 1), np.uint8)
    classes = [make_item(f'i{n}', picture, label=('real', 'fake')[n % 2], split='train') for n in range(4)]
    write(classes, tmp_path, 'pictures')
    with pytest.raises(UserError, match='pictures was not written by detect'):
        _open(create_config({'data.name': 'pictures', 'data.data_dir': str(tmp_path)}), 'train', train=False)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'data.name': 'mixd'}, 'Did you mean'),
        ({'data.sources': ('dcgan',)}, "mixed has no class 'dcgan', only blocks, noise, real"),
        ({'data.modalities': ('XR',)}, "mixed has no modality 'XR'"),
    ],
)
def test_names_that_are_not_there(create_config, changes, expected):
    with pytest.raises(DataError, match=expected):
        _open(create_config(changes), 'train', train=False)
