"""A mark stays within its bound, is found again by its key alone, and is not found where there is none."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from foundation.training.errors import UserError
from foundation.watermark import MarkKey, detect, embed, examine, read_key
from foundation.watermark.carrier import create_carrier, level_of

KEY, OTHER = MarkKey(b'a key of the tests'), MarkKey(b'another of the tests')
PAYLOAD, FOUND = 0xA5C31F07, 1e-6


def _draw(size=256, seed=0, dtype=np.uint8):
    """A disc with texture in air of one value, as a slice of a body is: the mark has about half of the pixels."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    texture = ndimage.gaussian_filter(random.normal(size=(size, size)), 3) * 60 + random.normal(0, 2, (size, size))
    body = np.clip(110 + 80 * np.cos(7 * rows) + texture, 0, 255)
    image = np.where(np.hypot(rows, columns) < 0.45, body, 0)
    return np.rint(image * (np.iinfo(dtype).max / 255)).astype(dtype)[..., None]


def _bytes(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _compress(image):
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, 'jpeg', quality=75)
    return np.asarray(Image.open(file))[..., None]


def _resize(image, factor):
    size = [round(factor * side) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image[..., 0]).resize(size, Image.Resampling.BILINEAR))[..., None]


ATTACKS = {
    'nothing': lambda image: image,
    'contrast and brightness': lambda image: _bytes(1.3 * image.astype(float) - 20),
    'other units': lambda image: 5000 + 2.0 * image,
    'JPEG 75': _compress,
    'half': lambda image: _resize(image, 0.5),
    'a third more': lambda image: _resize(image, 1.33),
    'twice': lambda image: _resize(image, 2),
    'noise': lambda image: _bytes(image + np.random.default_rng(5).normal(0, 4, image.shape)),
    'crop': lambda image: image[9:239, 20:250],
    'crop of one side': lambda image: image[:, 25:],
    'crop, then half': lambda image: _resize(image[9:239, 20:250], 0.5),
}


@pytest.fixture(scope='module')
def marked():
    return embed(_draw(), KEY, PAYLOAD, bound=2)


@pytest.mark.parametrize('attack', ATTACKS)
def test_it_survives(marked, attack):
    found = detect(ATTACKS[attack](marked), KEY)
    assert found.p_value < FOUND
    assert (found.level, found.payload) == (256, PAYLOAD)
    assert found.bit_error < 0.03
    assert found.crop == pytest.approx(230 / 256 if attack.startswith('crop, ') or attack == 'crop' else 1)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('bound', [1, 2, 7])
def test_no_value_changes_by_more_than_the_bound(dtype, bound):
    image = _draw(dtype=dtype)
    image[:20] = np.iinfo(dtype).max  # where it can only become darker
    change = embed(image, KEY, PAYLOAD, bound=bound).astype(int) - image
    assert np.abs(change).max() == bound
    flat = ndimage.maximum_filter(image[..., 0], 5) == ndimage.minimum_filter(image[..., 0], 5)
    assert flat.mean() > 0.2
    assert not change[..., 0][flat].any()


def test_all_channels_change_alike():
    colour = np.repeat(_draw(), 3, axis=2) // 2 + np.array([20, 40, 60], np.uint8)
    marked = embed(colour, KEY, PAYLOAD, bound=2)
    change = marked.astype(int) - colour
    assert change.any()
    assert (change == change[..., :1]).all()
    assert detect(marked, KEY).payload == PAYLOAD


def test_only_its_key_finds_it(marked):
    examined = examine(marked)
    assert examined.find(OTHER).p_value > 0.01
    assert detect(_draw(), KEY).p_value > 0.01
    assert KEY.name != OTHER.name
    assert 'key of' not in repr(KEY)


@pytest.mark.parametrize(('size', 'level', 'payload'), [(64, 64, None), (128, 128, PAYLOAD), (300, 256, PAYLOAD)])
def test_each_size_has_its_level(size, level, payload):
    found = detect(embed(_draw(size), KEY, PAYLOAD, bound=2), KEY)
    assert found.p_value < FOUND
    assert (found.level, found.payload) == (level, payload)


def test_images_need_not_be_square():
    image = _draw(256)[40:200]
    found = detect(embed(image, KEY, PAYLOAD, bound=2), KEY)
    assert (found.payload, found.crop) == (PAYLOAD, 1)


def test_a_looks_p_value_is_a_bound_on_the_share_of_keys():
    """Of one image with 3,000 keys. What the bound allows for, a Gaussian does not use up."""
    examined, keys = examine(_draw(64)), [MarkKey(f'key {number} of the tests'.encode()) for number in range(3000)]
    values = np.array([examined.look_as_it_lies(create_carrier(key, 64)).p_value for key in keys])
    for level in (0.3, 0.1, 0.01):
        expected = 0.5 * math.erfc(math.sqrt(math.log(1 / level)))  # P(t > sqrt(2 log(1 / level)))
        share = (values < level).mean()
        assert share <= level
        assert share == pytest.approx(expected, abs=4 * math.sqrt(expected / 3000))


def test_images_that_tell_nothing_have_no_mark():
    for image in (np.zeros((256, 256, 1)), np.full((3, 5, 1), 7), np.full((80, 80, 1), np.nan)):
        found = detect(image, KEY)
        assert (found.p_value, found.bit_error) == (1, 0.5)


def test_what_cannot_be_marked_is_refused(tmp_path):
    with pytest.raises(UserError, match='63 x 40 pixels are too small'):
        embed(_draw(64)[:63, :40], KEY, 0, bound=2)
    with pytest.raises(ValueError, match='0 steps'):
        embed(_draw(64), KEY, 0, bound=0)
    assert level_of(40, 64) == 64
    with pytest.raises(UserError, match=r'There is no key at .*; make one'):
        read_key(tmp_path / 'key')
    for size, said in ((15, 'fewer'), (2**20 + 1, 'more')):
        (tmp_path / 'key').write_bytes(bytes(size))
        with pytest.raises(UserError, match=f'has {said} bytes than a key may have.* > watermark.key'):
            read_key(tmp_path / 'key')
    (tmp_path / 'key').write_bytes(bytes(16))
    assert read_key(tmp_path / 'key') == MarkKey(bytes(16))
