"""Sets of real and generated images: descriptions that are kept, and classes as frequent as real ones."""

import dataclasses
import logging

import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.evaluation import sets
from gan.evaluation.sets import create_extract, describe_generated, describe_reals, draw_labels
from gan.evaluation.statistics import ImageStatistics
from gan.generator import TrainedGenerator
from gan.recipe import create_recipe
from tests.gan.evaluation.drawn import create_config, create_extractor, draw_described, write_run

FIELDS = [field.name for field in dataclasses.fields(ImageStatistics)]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """The folder of a run, its recipe and its generator."""
    folder = tmp_path_factory.mktemp('runs')
    workdir = write_run(folder, 'run', seed=0)
    return folder, create_recipe(create_config(folder)), TrainedGenerator.load(workdir)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    folder = tmp_path / 'cache' / 'references'
    monkeypatch.setattr(sets, '_CACHE', folder)
    return folder


class _Counting:
    """An extractor's function that counts its calls."""

    def __init__(self):
        self.calls = 0
        self._extract = create_extract(create_extractor(), 16)

    def __call__(self, images):
        self.calls += 1
        return self._extract(images)


def _describe(run, extract, split='test', **fields):
    return describe_reals(run[2], split, create_extractor(**fields), extract, 16)


def _assert_equal(first, second):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_classes_are_as_frequent_as_in_the_reference():
    reference = dataclasses.replace(draw_described(50), labels=np.repeat(np.int32([0, 2]), [40, 10]))
    labels = draw_labels(reference, 100, 3, seed=0)
    assert np.bincount(labels).tolist() == [80, 0, 20]
    few = draw_labels(reference, 20, 3, seed=0)
    np.testing.assert_array_equal(few, labels[:20])
    assert set(few) == {0, 2}
    assert draw_labels(reference, 20, 3, seed=1).tolist() != few.tolist()
    assert not draw_labels(reference, 20, 0, seed=0).any()


def test_a_description_is_kept_for_its_user_and_equals_a_fresh_one(run, cache):
    extract = _Counting()
    fresh = _describe(run, extract)
    calls = extract.calls
    _assert_equal(_describe(run, extract), fresh)
    assert extract.calls == calls > 0
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert len(fresh) == run[1].open_split('test').num_examples


def _request(folder, **fields):
    return create_recipe(create_config(folder, **fields)).images


def test_the_key_holds_all_that_decides_a_description(run):
    folder, recipe, _ = run
    request, images = recipe.images, recipe.open_split('test')
    key = sets._cache_key(request, images, 'test', 16, create_extractor())
    others = [
        sets._cache_key(request, images, 'train', 16, create_extractor()),
        sets._cache_key(request, images, 'test', 8, create_extractor()),
        sets._cache_key(
            _request(folder, **{'data.window': 'physical', 'data.window_range': (0.0, 1.0)}),
            images,
            'test',
            16,
            create_extractor(),
        ),
        sets._cache_key(request, images, 'test', 16, create_extractor(checksum='1' * 64)),
        sets._cache_key(request, images, 'test', 16, create_extractor(resize='by half')),
        sets._cache_key(request, images, 'test', 16, create_extractor(temperature=2.0)),
    ]
    images.fingerprint = '1' * 64
    others.append(sets._cache_key(request, images, 'test', 16, create_extractor()))
    assert len({key, *others}) == 8
    same = _request(folder, seed=5)
    images.fingerprint = run[2].facts.fingerprint
    assert sets._cache_key(same, images, 'test', 16, create_extractor()) == key


@pytest.mark.parametrize('damage', ['cut', 'altered', 'other'])
def test_a_damaged_description_is_made_anew(run, cache, damage):
    extract = _Counting()
    fresh = _describe(run, extract)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    half = len(whole) // 2
    broken = {
        'cut': whole[:half],
        'altered': whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :],
        'other': b'not an archive',
    }[damage]
    kept.write_bytes(broken)
    calls = extract.calls
    _assert_equal(_describe(run, extract), fresh)
    assert extract.calls > calls
    assert kept.read_bytes() != broken


def test_a_cache_that_cannot_be_written_is_told_of_once(run, cache, caplog):
    cache.parent.mkdir()
    cache.write_text('a file where the folder should be')
    with caplog.at_level(logging.WARNING):
        described = _describe(run, _Counting())
    assert len(described) > 0
    assert [record.levelname for record in caplog.records] == ['WARNING']
    assert 'No description can be kept in' in caplog.text


def test_old_descriptions_make_room(run, cache, monkeypatch):
    monkeypatch.setattr(sets, '_CACHE_BYTES', 0)
    extract = _Counting()
    _describe(run, extract)
    (first,) = cache.iterdir()
    _describe(run, extract, checksum='1' * 64)
    (second,) = cache.iterdir()
    assert first != second


def test_other_data_than_the_run_was_trained_on_are_refused(run):
    trained = run[2]
    altered = dataclasses.replace(trained, facts=dataclasses.replace(trained.facts, fingerprint='1' * 64))
    with pytest.raises(UserError, match=r"^The data set 'phantom_evaluated' holds other images than when"):
        describe_reals(altered, 'test', create_extractor(), _Counting(), 16)


def test_generated_images_do_not_depend_on_the_batch(run):
    extract = _Counting()
    labels = np.arange(10, dtype=np.int32) % run[2].image_format.num_classes
    one, other = (describe_generated(run[2], labels, 3, extract, size) for size in (4, 10))
    np.testing.assert_allclose(one.features, other.features, atol=1e-2)
    assert (np.abs(one.pixels.astype(int) - other.pixels.astype(int)) <= 1).all()
    assert one.owners.tolist() == list(range(10))
    fewer = describe_generated(run[2], labels[:4], 3, extract, 4)
    np.testing.assert_array_equal(fewer.pixels, one.pixels[:4])
