"""Where cases come from: an image a patient whom the generator never saw, and generated ones made alike."""

import dataclasses

import numpy as np
import pytest

from backbones.images import facts_of
from foundation.export.folder import FolderWriter
from foundation.export.manifest import write_manifest
from foundation.export.pictures import PngEncoder
from foundation.training.errors import UserError
from gan.reading.cases import RealImages, gather_cases, to_levels
from gan.recipe import create_recipe
from tests.foundation.export.manifests import MANIFEST
from tests.gan.evaluation.untrained import create_trained
from tests.gan.families import small
from tests.gan.generation.origins import make_origin
from tests.input_pipeline.items import make_item, random_images, write

SIDE = small.SIDE


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """An untrained generator of 12 training and 6 test patients with two images each, of two classes."""
    data_dir = tmp_path_factory.mktemp('data')
    items = [
        make_item(
            f'{split}{patient}',
            random_images(2, (SIDE, SIDE, 1), np.uint16, patient),
            split=split,
            label=('a', 'b')[patient % 2],
        )
        for split, count in (('train', 12), ('test', 6))
        for patient in range(count)
    ]
    write(items, data_dir)
    config = small.small_config('dcgan', conditional=True)
    config.data.name, config.data.data_dir, config.data.window = 'small', str(data_dir), 'stored'
    recipe = create_recipe(config)
    facts = facts_of(recipe.open_split('train'))
    return dataclasses.replace(create_trained('dcgan', conditional=True), recipe=recipe, facts=facts)


def _gather(trained, count, **changes):
    options = {'seed': 1, 'bits': 12, 'generated': None, 'batch_size': 4, **changes}
    return gather_cases(RealImages.open(trained, 'test'), count, **options)


def test_each_patient_gives_one_image_and_classes_are_equal(trained):
    images, truth, sources = _gather(trained, 6)
    real, generated = truth[:6], truth[6:]
    split = trained.recipe.open_split('test')
    assert images.shape == (12, SIDE, SIDE, 1)
    assert sorted(split.patients[[case.number for case in real]]) == sorted(set(split.patients))
    assert [case.label for case in real] == [case.label for case in generated]
    assert sorted(case.label for case in real) == list('aaabbb')
    assert not any(case.generated for case in real)
    assert all(case.generated for case in generated)
    assert (sources['split'], sources['data'], sources['patients_known']) == ('test', 'small', True)
    (stored,) = (batch['image'] for batch in split.in_order(SIDE, 12))
    for pixels, case in zip(images, real, strict=False):
        expected = np.rint((stored[case.number] + 1) / 2 * 4095)
        assert np.abs(pixels - expected).max() <= 1


def test_the_seed_decides_all(trained):
    one, same, other = (_gather(trained, 3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[0], same[0])
    assert one[1] == same[1]
    assert not np.array_equal(one[0][3:], other[0][3:])


@pytest.mark.parametrize('bits', [8, 12, 16])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_real_and_generated_images_have_the_same_grey_levels(bits, dtype):
    largest = np.iinfo(dtype).max
    levels = to_levels(np.arange(largest + 1, dtype=dtype).reshape(1, -1, 1, 1), bits).ravel()
    assert (levels.min(), levels.max(), levels.dtype) == (0, 2**bits - 1, np.uint16)
    assert (np.diff(levels.astype(int)) >= 0).all()
    assert len(np.unique(levels)) == min(2**bits, largest + 1)


def test_training_patients_are_never_shown(trained):
    with pytest.raises(UserError, match="trained on the split 'train'"):
        RealImages.open(trained, 'train')
    other = dataclasses.replace(trained, facts=dataclasses.replace(trained.facts, fingerprint='0' * 64))
    with pytest.raises(UserError, match='not the one that the generator was trained on'):
        RealImages.open(other, 'test')


def test_images_that_are_not_finite_are_refused(trained):
    weights = trained.weights._replace(alpha=np.float32(1))
    broken = dataclasses.replace(
        trained, weights=weights._replace(variables=_fill(trained.weights.variables, np.nan))
    )
    with pytest.raises(UserError, match='not finite'):
        _gather(broken, 2)


def _fill(tree, value):
    import jax

    return jax.tree.map(lambda leaf: np.full_like(leaf, value), tree)


def _write_folder(folder, count, *, side=SIDE, image_format='png', **data):
    origin = make_origin(dtype='uint16', classes=('a', 'b'))
    folder.mkdir()
    writer = FolderWriter(folder, origin, PngEncoder(origin))
    pixels = np.random.default_rng(5).integers(0, 2**16, (count, side, side, 1)).astype(np.uint16)
    for number, image in enumerate(pixels):
        writer.write(image, np.zeros((side, side, 1), np.uint8), 'ab'[number % 2], number)
    fields = {'count': count, 'format': image_format, 'data': MANIFEST['data'] | data}
    write_manifest(folder, MANIFEST | fields)
    return pixels


def test_generated_images_may_come_from_a_folder(trained, tmp_path):
    pixels = _write_folder(tmp_path / 'made', 20)
    images, truth, sources = _gather(trained, 4, generated=tmp_path / 'made')
    for image, case in zip(images[4:], truth[4:], strict=True):
        np.testing.assert_array_equal(image, to_levels(pixels[[case.number]], 12)[0])
        assert case.label == 'ab'[case.number % 2]
    assert len({case.number for case in truth[4:]}) == 4
    assert sources['weights_sha256'] != trained.checksum()


@pytest.mark.parametrize(
    ('options', 'damage', 'words'),
    [
        ({'count': 2}, None, 'has 2 images, too few of the class'),
        ({'side': 16}, None, r'is of \(16, 16, 1\) and uint16'),
        ({'image_format': 'nifti'}, None, 'holds nifti'),
        ({}, 'images/000003.png', 'not as it was written'),
        ({}, 'index.csv', 'not as it was written'),
        ({}, 'manifest.json', 'altered or damaged'),
    ],
)
def test_other_folders_are_refused(trained, tmp_path, options, damage, words):
    folder = tmp_path / 'made'
    _write_folder(folder, **{'count': 20, **options})
    if damage:
        (folder / damage).write_bytes((folder / damage).read_bytes()[:-3] + b'xyz')
    with pytest.raises(UserError, match=words):
        _gather(trained, 4, generated=folder)


def test_a_folder_of_a_generator_that_saw_the_readers_patients_is_refused(trained, tmp_path):
    _write_folder(tmp_path / 'made', 20, fingerprint=trained.facts.fingerprint, split='test')
    with pytest.raises(UserError, match="trained on the split 'test'"):
        _gather(trained, 4, generated=tmp_path / 'made')


def test_data_of_8_bits_are_shown_with_8(trained, monkeypatch):
    real = RealImages.open(trained, 'test')
    assert real.usual_bits == 12
    monkeypatch.setattr(real.images, 'stored_dtype', np.dtype(np.uint8))
    assert real.usual_bits == 8
