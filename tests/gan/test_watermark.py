"""Marks of generated images: read again from every format, within their bound in the units of the data."""

import dataclasses

import numpy as np
import pytest

from foundation.training.errors import UserError
from foundation.watermark import read_key
from gan.generation.writers import create_writer
from gan.watermark import create_watermark, largest_change, read_mark
from input_pipeline.phantom.dataset import store
from tests.gan.generation.origins import make_origin


@pytest.fixture
def key(tmp_path):
    path = tmp_path / 'key'
    path.write_bytes(b'a key of the tests')
    return path


def _origin(**form):
    origin = make_origin(**form)
    return dataclasses.replace(origin, model=dataclasses.replace(origin.model, resolution=256))


def _draw_slice():
    """A body of 12 HU of noise in air, in 16 bits of -1024 to 3071."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :256] / 256 - 0.5
    values = np.where(np.hypot(rows, columns) < 0.45, 40 + random.normal(0, 12, (256, 256)), -1000)
    return store(np.rint(values), (-1024.0, 3071.0))[..., None]


@pytest.mark.parametrize('image_format', ['png', 'nifti', 'dicom'])
@pytest.mark.parametrize('modality', ['MR', 'CT'])
def test_it_is_read_again_from_every_format(tmp_path, key, image_format, modality):
    origin, stored, out = _origin(modality=modality, intensity=(-1024.0, 3071.0)), _draw_slice(), tmp_path / 'out'
    mark = create_watermark(key, origin)
    out.mkdir()
    mask = np.zeros_like(stored, np.uint8)
    writer = create_writer(image_format, out, origin, name='out', licence='', signer=None)
    writer.write(mark.apply(stored), mask, '', 0)
    (path,) = (out / 'images').iterdir()
    found = read_mark(path, read_key(key))
    assert found.p_value < 1e-6
    assert mark.describe() == {'payload': f'{found.payload:08x}', 'key': read_key(key).name}
    assert f'{found.payload:08x}' == origin.model.weights_sha256[:8]
    change = (mark.apply(stored).astype(float) - stored) * (4095 / 65535)
    assert np.abs(change).max() == pytest.approx(4 if modality == 'CT' else 2 / 255 * 4095, abs=0.1)


def test_the_bound_is_in_the_units_of_the_data():
    assert largest_change(make_origin(dtype='uint8', modality='MR').form) == 2
    assert largest_change(make_origin(dtype='uint16', modality='MR').form) == 514
    assert largest_change(make_origin(dtype='uint16', intensity=(-1024.0, 3071.0)).form) == 64  # 4095 HU
    assert largest_change(make_origin(dtype='uint8', intensity=(-100.0, 155.0)).form) == 4
    with pytest.raises(UserError, match=r'at most 4 HU, and one step of these images is 16.1'):
        largest_change(make_origin(dtype='uint8', intensity=(-1024.0, 3071.0)).form)


def test_small_images_are_refused(key):
    with pytest.raises(UserError, match='64 pixels or more, and this generator draws 6'):
        create_watermark(key, make_origin())


def test_what_is_no_image_is_refused(tmp_path, key):
    with pytest.raises(UserError, match='cannot be read'):
        read_mark(key, read_key(key))
