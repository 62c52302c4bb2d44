"""Images that are arrays: seen as data sets are, at the size of the network, and refused where they are others."""

import dataclasses

import numpy as np
import pytest

from backbones.images import DataFacts
from configs.segment import unet
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from segment.ensemble import SegmenterEnsemble
from segment.recipe import create_recipe
from segment.segmenter import TrainedSegmenter
from segment.stored_images import read_images, segment_images

PICTURES = DataFacts('pictures', 'f' * 64, 10, 10, (), 'uint8', (0.0, 255.0), 'uint8', 0.0)


def _segmenter(seen, **changes):
    """Class 1 where a pixel is bright."""
    config = unet.get_config('small').lock()
    fields = {'resolution': 16, 'patch': 16, 'mask_classes': 1, 'data.window': 'stored', 'network.depth': 2}
    config.update_from_flattened_dict(fields | changes)

    def predict(variables, images):
        seen.append(images)
        return np.concatenate([-images, images], axis=-1)

    return TrainedSegmenter(create_recipe(config), PICTURES, {}, Position(1, 1, 'segmenter'), predict)


def _draw(count, side, dtype):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (count, side, side, 1), dtype, endpoint=True)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_images_of_the_networks_size_are_seen_as_they_are(dtype):
    images, seen = _draw(40, 16, dtype), []
    ids = segment_images(SegmenterEnsemble((_segmenter(seen),)), images)
    largest = np.iinfo(dtype).max
    np.testing.assert_allclose(np.concatenate(seen), images / (largest / 2) - 1, atol=1e-6)
    np.testing.assert_array_equal(ids, images > largest / 2)


def test_other_sizes_are_resized_and_masks_come_back():
    """Blocks of 2x2 equal pixels are their mean; the mask has the size of the image again."""
    small = np.where(_draw(3, 16, np.uint8) > 127, np.uint8(230), np.uint8(20))
    small = small[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2)  # blocks whose middle no interpolation reaches
    large, seen = small.repeat(2, axis=1).repeat(2, axis=2), []
    ids = segment_images(SegmenterEnsemble((_segmenter(seen),)), large)
    np.testing.assert_allclose(seen[0], small / 127.5 - 1, atol=1e-6)
    assert ids.shape == (3, 32, 32, 1)
    inner = (slice(None), slice(3, None, 8), slice(3, None, 8))
    np.testing.assert_array_equal(ids[inner], large[inner] > 127)


def test_parts_go_as_validation_chose():
    images = np.zeros((2, 16, 16, 1), np.uint8)
    images[:, 2:6, 2:6], images[:, 10:12, 10:12] = 255, 255
    ensemble = SegmenterEnsemble((_segmenter([]),))
    assert segment_images(ensemble, images).sum() == 2 * (16 + 4)
    assert segment_images(dataclasses.replace(ensemble, largest_alone=(1,)), images).sum() == 2 * 16


@pytest.mark.parametrize(
    'images',
    [
        _draw(2, 16, np.uint8)[..., 0],
        _draw(2, 16, np.uint8)[:, :8],
        _draw(2, 16, np.uint8).repeat(3, axis=-1),
        _draw(2, 16, np.uint8).astype(np.float32),
    ],
    ids=['grey', 'oblong', 'colour', 'float'],
)
def test_images_of_another_kind_are_refused(tmp_path, images):
    np.save(tmp_path / 'images.npy', images)
    with pytest.raises(UserError, match='must hold square images of 1 channels as uint8 or uint16'):
        read_images(tmp_path / 'images.npy', _segmenter([]))


def test_what_cannot_be_read_is_refused(tmp_path):
    path = tmp_path / 'images.npy'
    np.save(path, np.array([{}], object))
    for content in (path.read_bytes(), b'', b'no array'):
        path.write_bytes(content)
        with pytest.raises(UserError, match='cannot be read as a NumPy file'):
            read_images(path, _segmenter([]))
    np.save(path, _draw(2, 16, np.uint8))
    with pytest.raises(UserError, match='sees slices beside each'):
        read_images(path, _segmenter([], context=1))
    np.testing.assert_array_equal(read_images(path, _segmenter([])), _draw(2, 16, np.uint8))
