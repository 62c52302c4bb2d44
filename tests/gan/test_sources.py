"""Real images for a trained run: files are shown as the images of a data set are, or refused."""

import dataclasses

import cv2
import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.sources import images_of_files, open_source
from tests.gan.evaluation.untrained import create_trained
from tests.input_pipeline import series
from tests.input_pipeline.items import make_item, random_images, write

_KEYS = ('p0', 'p1', 'p2')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A generator that was never trained, its data set of pictures of 8 bits, and the same as files."""
    folder = tmp_path_factory.mktemp('sources')
    images = random_images(3, (8, 8, 1), np.uint8)
    items = [
        make_item(key, [image], split='test', label='a', intensity=(0.0, 255.0), window=(0.0, 255.0))
        for key, image in zip(_KEYS, images, strict=True)
    ]
    items.append(make_item('q', random_images(1, (8, 8, 1), np.uint8, seed=9), split='train', label='b'))
    write(items, folder / 'data', 'pictures')
    (folder / 'files').mkdir()
    for key, image in zip(_KEYS, images, strict=True):
        cv2.imwrite(str(folder / 'files' / f'{key}.png'), image)
    trained = create_trained('stylegan2', data__name='pictures', data__data_dir=str(folder / 'data'))
    return trained, folder / 'files'


def _open(trained, *paths, **changes):
    wanted = {'data': None, 'split': 'test', 'classes': None} | changes
    return open_source(trained.recipe, trained.facts, 8, paths=paths, **wanted)


def test_files_are_shown_as_a_data_set_is(run):
    trained, folder = run
    split, files = _open(trained), _open(trained, folder)
    one, other = (np.concatenate([batch.images for batch in source.batches(2)]) for source in (split, files))
    order = [split.keys.index(key.removesuffix('.png')) for key in files.keys]
    np.testing.assert_array_equal(one[order], other)
    assert (len(split), len(files), split.classes, files.classes) == (3, 3, ('a', 'b'), ())
    assert all((batch.labels == -1).all() for batch in files.batches(2))
    assert files.notes == ()
    fewer = split.evenly(2)
    assert fewer.keys == (split.keys[0], split.keys[2])
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in fewer.batches(1)]), one[[0, 2]])
    halved = images_of_files([folder], trained.recipe, trained.facts, 4)
    (batch,) = halved.batches(3)
    np.testing.assert_allclose(batch.images, other.reshape(3, 4, 2, 4, 2, 1).mean(axis=(2, 4)), atol=1e-6)


def test_only_some_classes_or_all(run):
    trained, _ = run
    assert len(_open(trained, classes=['a'])) == len(_open(trained, classes=['all'])) == 3
    assert _open(trained, split='train', classes=['b']).keys == ('q',)


def test_what_cannot_be_read_is_refused(run, tmp_path):
    trained, folder = run
    with pytest.raises(UserError, match='Files are named, and --data or --classes, too'):
        _open(trained, folder, classes=['all'])
    with pytest.raises(UserError, match='Nothing that is named is an image'):
        _open(trained, tmp_path)
    (tmp_path / 'broken.png').write_bytes(b'\x89PNG nothing')
    with pytest.raises(UserError, match=r'broken\.png: .*leave out what cannot be read \(1 in all\)'):
        _open(trained, tmp_path)


def test_images_of_dicom_files_are_called_as_their_files(run, tmp_path):
    trained, _ = run
    series.save_series(tmp_path / 'in' / 'ct', series.random_values(2, 8, 8), [3.0, 0.0])
    series.save_frames(tmp_path / 'in' / 'whole.dcm', series.random_values(2, 8, 8), [0.0, 3.0])
    keys = _open(trained, tmp_path / 'in').keys
    assert keys == ('ct/01.dcm', 'ct/00.dcm', 'whole.dcm/0000', 'whole.dcm/0001')


def test_a_file_that_cannot_be_made_like_the_others_is_named(run):
    trained, folder = run
    form = dataclasses.replace(trained.recipe.images.preprocessing, pixels=1.0)
    recipe = dataclasses.replace(
        trained.recipe, images=dataclasses.replace(trained.recipe.images, preprocessing=form)
    )
    with pytest.raises(UserError, match=r'p0\.png: the spacing of its pixels is not known.*\(3 in all\)'):
        images_of_files([folder], recipe, trained.facts, 8)
