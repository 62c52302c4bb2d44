"""TIFF files: every kind of sample keeps its value, and pages that only the first reader sees are refused."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from input_pipeline.readers.pixels import to_physical


def _noise(*shape, dtype=np.uint16, seed=0):
    ends = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(ends.min, ends.max, shape, dtype, endpoint=True)


def _physical(reading):
    (record,) = reading.records
    return to_physical(record.image, record.intensity)


@pytest.mark.parametrize('byteorder', ['<', '>'])
@pytest.mark.parametrize('compression', [None, 'zlib'])
@pytest.mark.parametrize('dtype', [np.int8, np.int16, np.uint16, np.int32, np.float32])
def test_grey_samples_keep_their_values(tmp_path, read, dtype, compression, byteorder):
    values = (
        np.random.default_rng(1).normal(size=(5, 7)).astype(dtype)
        if np.dtype(dtype).kind == 'f'
        else _noise(5, 7, dtype=dtype) // (2**10 if dtype == np.int32 else 1)
    )
    tifffile.imwrite(tmp_path / 'a.TIF', values, compression=compression, byteorder=byteorder)
    np.testing.assert_allclose(_physical(read('image_folder', tmp_path))[..., 0], values, rtol=1e-7)


def test_large_unsigned_numbers_stay_positive(tmp_path, read):
    values = np.array([[0, 2**31], [2**32 - 256, 7]], np.uint32)
    tifffile.imwrite(tmp_path / 'a.tif', values)
    np.testing.assert_array_equal(_physical(read('image_folder', tmp_path))[..., 0], values)


@pytest.mark.parametrize('compression', [None, 'zlib'])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_where_low_is_white_bright_becomes_high(tmp_path, read, dtype, compression):
    values = _noise(5, 7, dtype=dtype)
    negative = np.iinfo(dtype).max - values
    tifffile.imwrite(tmp_path / 'a.tif', negative, photometric='miniswhite', compression=compression)
    np.testing.assert_array_equal(_physical(read('image_folder', tmp_path))[..., 0], values)


def test_where_low_is_white_in_floats_is_refused(tmp_path, read):
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    tifffile.imwrite(tmp_path / 'a.tif', values, photometric='miniswhite')
    tifffile.imwrite(tmp_path / 'b.tif', values)
    assert 'MINISBLACK' in read('image_folder', tmp_path).refused['a.tif']


@pytest.mark.parametrize('alpha', [False, True])
@pytest.mark.parametrize('compression', [None, 'zlib'])
@pytest.mark.parametrize('planes', ['contig', 'separate'])
def test_deep_colours_keep_16_bits(tmp_path, read, planes, compression, alpha):
    values = _noise(5, 7, 4 if alpha else 3)
    stored = np.moveaxis(values, -1, 0) if planes == 'separate' else values
    extra = ['unassalpha'] if alpha else None
    tifffile.imwrite(
        tmp_path / 'a.tif',
        stored,
        photometric='rgb',
        planarconfig=planes,
        compression=compression,
        extrasamples=extra,
    )
    np.testing.assert_array_equal(_physical(read('image_folder', tmp_path)), values[..., :3])


@pytest.mark.parametrize('orientation', range(1, 9))
def test_deep_pictures_are_turned_once(tmp_path, read, orientation):
    tag = [(274, 'H', 1, orientation, True)]
    signed, colour = _noise(4, 6, dtype=np.int16), _noise(3, 4, 6)
    tifffile.imwrite(tmp_path / 'colour.tif', colour, photometric='rgb', planarconfig='separate', extratags=tag)
    tifffile.imwrite(tmp_path / 'signed.tif', signed, extratags=tag)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6))
    turned.info['exif'] = exif.tobytes()
    places = np.asarray(ImageOps.exif_transpose(turned))
    found = {
        record.key: to_physical(record.image, record.intensity)
        for record in read('image_folder', tmp_path).records
    }
    np.testing.assert_array_equal(found['signed.tif'][..., 0], signed.ravel()[places])
    np.testing.assert_array_equal(found['colour.tif'][..., 1], colour[1].ravel()[places])


def _behind_one_directory(path, pages):
    """As ImageJ writes stacks above 4 GB: one directory, all pages behind its strip."""
    description = f'ImageJ=1.54f\nimages={len(pages)}\nslices={len(pages)}\n'
    tifffile.imwrite(path, pages[0], photometric='minisblack', description=description, metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        struct.pack_into('<I', data, tiff.pages[0].tags['StripOffsets'].valueoffset, len(data))
    path.write_bytes(data + pages.tobytes())


def test_stacks_and_volumes_are_refused(tmp_path, read):
    pages = _noise(3, 16, 16)
    tifffile.imwrite(tmp_path / 'pages.tif', pages, photometric='minisblack')
    tifffile.imwrite(tmp_path / 'truncated.tif', pages, photometric='minisblack', truncate=True)
    tifffile.imwrite(tmp_path / 'volume.tif', pages, photometric='minisblack', volumetric=True, tile=(1, 16, 16))
    _behind_one_directory(tmp_path / 'imagej.tif', pages)
    tifffile.imwrite(
        tmp_path / 'plain.tif', pages[0], description='{"shape": [16, 16], "unit": "mm"}', metadata=None
    )
    tifffile.imwrite(tmp_path / 'single.tif', pages[0], imagej=True)
    reading = read('image_folder', tmp_path)
    assert {record.key for record in reading.records} == {'plain.tif', 'single.tif'}
    assert 'holds 3 pages' in reading.refused.pop('pages.tif')
    assert all('a stack of 3 pages behind one directory' in reason for reason in reading.refused.values())
    assert len(reading.refused) == 3


def test_channels_without_a_meaning_are_refused(tmp_path, read):
    tifffile.imwrite(
        tmp_path / 'bands.tif', _noise(5, 7, 5, dtype=np.uint8), photometric='rgb', extrasamples=[0, 0]
    )
    tifffile.imwrite(tmp_path / 'inks.tif', _noise(5, 7, 4), photometric='separated')
    tifffile.imwrite(
        tmp_path / 'two.tif', _noise(5, 7, 2, dtype=np.uint8), photometric='minisblack', planarconfig='contig'
    )
    tifffile.imwrite(tmp_path / 'double.tif', np.random.default_rng(0).normal(size=(5, 7)))
    tifffile.imwrite(tmp_path / 'good.tif', _noise(5, 7))
    reading = read('image_folder', tmp_path)
    assert 'holds 5 channels' in reading.refused['bands.tif']
    assert 'of samples that no decoder here knows' in reading.refused['double.tif']
    assert 'CMYK' in reading.refused['inks.tif']
    assert 'holds 2 channels' in reading.refused['two.tif']
