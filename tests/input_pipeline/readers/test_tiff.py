"""TIFF files: every kind of sample keeps its value, and every page is read or the file is refused."""

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


def test_stacks_and_volumes_are_read(tmp_path, read):
    pages = _noise(3, 16, 16)
    pages[1] = 7  # empty, and left out
    tifffile.imwrite(tmp_path / 'pages.tif', pages, photometric='minisblack')
    tifffile.imwrite(tmp_path / 'truncated.tif', pages, photometric='minisblack', truncate=True)
    tifffile.imwrite(tmp_path / 'volume.tif', pages, photometric='minisblack', volumetric=True, tile=(1, 16, 16))
    _behind_one_directory(tmp_path / 'imagej.tif', pages)
    tifffile.imwrite(
        tmp_path / 'plain.tif', pages[0], description='{"shape": [16, 16], "unit": "mm"}', metadata=None
    )
    tifffile.imwrite(tmp_path / 'single.tif', pages[0], imagej=True)
    reading = read('image_folder', tmp_path)
    assert reading.refused == {}
    names = ('pages.tif', 'truncated.tif', 'volume.tif', 'imagej.tif')
    keys = {f'{name}/{page:04d}' for name in names for page in (0, 2)}
    assert {record.key for record in reading.records} == keys | {'plain.tif', 'single.tif'}
    for name in names:
        first, last = reading.by_source[name]
        for record, page in ((first, pages[0]), (last, pages[2])):
            np.testing.assert_array_equal(to_physical(record.image[..., 0], record.intensity), page)
        assert first.patient == last.patient == name
        assert first.window == last.window == tuple(np.percentile(pages, [0.5, 99.5]))
    assert reading.notes == [
        '4 TIFF files hold several pages, which are the slices of one volume and one patient.'
    ]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize('kind', ['minisblack', 'miniswhite', 'rgb'])
def test_pages_keep_their_values(tmp_path, read, dtype, kind):
    values = np.random.default_rng(0).integers(0, 100, (2, 5, 7, 3) if kind == 'rgb' else (2, 5, 7)).astype(dtype)
    tifffile.imwrite(tmp_path / 'a.tif', values, photometric=kind, compression='zlib')
    tifffile.imwrite(tmp_path / 'b.tif', _noise(5, 7))
    reading = read('image_folder', tmp_path)
    if kind != 'minisblack' and np.dtype(dtype).kind != 'u':
        assert set(reading.refused) == {'a.tif'}
        return
    shown = np.stack([to_physical(record.image, record.intensity) for record in reading.by_source['a.tif']])
    expected = np.iinfo(dtype).max - values if kind == 'miniswhite' else values
    np.testing.assert_allclose(shown, expected.reshape(shown.shape))


@pytest.mark.parametrize(
    ('metadata', 'resolution', 'spacing'),
    [
        ({'axes': 'ZYX', 'spacing': 2.5, 'unit': 'mm'}, (4, 2), (0.5, 0.25, 2.5)),
        ({'axes': 'ZYX', 'spacing': 2.0, 'unit': 'um'}, (4, 2), (0.0005, 0.00025, 0.002)),
        ({'axes': 'TYX', 'spacing': 2.5, 'unit': 'mm'}, (4, 2), (0.5, 0.25, 0)),
        ({'axes': 'ZYX', 'spacing': 2.5, 'unit': 'pixel'}, (4, 2), (0, 0, 0)),
        ({'axes': 'ZYX', 'spacing': 2.5}, (4, 2), (0, 0, 0)),
        ({'axes': 'ZYX', 'unit': 'mm'}, None, (0, 0, 0)),
    ],
)
def test_spacing_of_imagej(tmp_path, read, metadata, resolution, spacing):
    tifffile.imwrite(tmp_path / 'a.tif', _noise(3, 5, 7), imagej=True, metadata=metadata, resolution=resolution)
    np.testing.assert_allclose(read('image_folder', tmp_path).records[0].spacing, spacing)


@pytest.mark.parametrize(
    ('metadata', 'spacing'),
    [
        ({'PhysicalSizeX': 0.5, 'PhysicalSizeY': 0.7, 'PhysicalSizeZ': 2}, (0.0007, 0.0005, 0.002)),
        ({'PhysicalSizeX': 0.5, 'PhysicalSizeXUnit': 'mm', 'PhysicalSizeY': 700}, (0.7, 0.5, 0)),
        ({'PhysicalSizeX': 0.5}, (0, 0, 0)),
        ({'PhysicalSizeX': 5, 'PhysicalSizeXUnit': 'pixel', 'PhysicalSizeY': 5}, (0, 0, 0)),
        ({}, (0, 0, 0)),
    ],
)
def test_spacing_of_ome(tmp_path, read, metadata, spacing):
    tifffile.imwrite(tmp_path / 'a.ome.tif', _noise(3, 5, 7), ome=True, metadata={'axes': 'ZYX', **metadata})
    np.testing.assert_allclose(read('image_folder', tmp_path).records[0].spacing, spacing)


def test_pages_that_are_no_slices_are_refused(tmp_path, read):
    with tifffile.TiffWriter(tmp_path / 'thumbnail.tif') as file:
        file.write(_noise(16, 16))
        file.write(_noise(4, 4))
    with tifffile.TiffWriter(tmp_path / 'pyramid.tif') as file:
        file.write(_noise(2, 32, 32), subifds=1, photometric='minisblack')
        file.write(_noise(2, 16, 16), subfiletype=1, photometric='minisblack')
    tifffile.imwrite(tmp_path / 'channels.tif', _noise(3, 2, 5, 7), imagej=True, metadata={'axes': 'ZCYX'})
    tifffile.imwrite(tmp_path / 'cut.tif', _noise(3, 90, 90), photometric='minisblack')
    (tmp_path / 'cut.tif').write_bytes((tmp_path / 'cut.tif').read_bytes()[:-9000])
    tifffile.imwrite(tmp_path / 'large.tif', _noise(30, 90, 90), photometric='minisblack', compression='zlib')
    tifffile.imwrite(tmp_path / 'good.tif', _noise(5, 7))
    reading = read('image_folder', tmp_path, pixel_limit=30 * 90 * 90 - 1)
    assert {record.source for record in reading.records} == {'good.tif'}
    wanted = {'thumbnail.tif': 'several sizes or kinds', 'pyramid.tif': 'several sizes or kinds',
              'channels.tif': 'along the axes Z 3, C 2', 'large.tif': 'pixel_limit'}  # fmt: skip
    for name, reason in wanted.items():
        assert reason in reading.refused[name], name
    assert set(reading.refused) == {*wanted, 'cut.tif'}


def test_pages_in_other_files_are_not_followed(tmp_path, read):
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="16" SizeY="16" '
        'SizeC="1" SizeZ="3" SizeT="1"><TiffData IFD="0" FirstZ="0" PlaneCount="2"><UUID FileName="a.ome.tif">'
        'urn:uuid:0</UUID></TiffData><TiffData IFD="0" FirstZ="2" PlaneCount="1"><UUID FileName="b.tif">'
        'urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    pages, other = _noise(2, 16, 16, dtype=np.uint8), _noise(16, 16, dtype=np.uint8, seed=5)
    tifffile.imwrite(tmp_path / 'a.ome.tif', pages, description=text, metadata=None, photometric='minisblack')
    tifffile.imwrite(tmp_path / 'b.tif', other)
    reading = read('image_folder', tmp_path)
    assert {name: len(records) for name, records in reading.by_source.items()} == {'a.ome.tif': 2, 'b.tif': 1}


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
