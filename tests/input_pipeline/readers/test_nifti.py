"""NIfTI volumes against nibabel's own decoding, on real files and on files made here."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from input_pipeline.errors import DataError
from input_pipeline.readers.pixels import to_physical

REFUSED = {
    'example4d+orig.BRIK.gz': '3dAFNItoNIFTI',
    'example4d+orig.HEAD': '3dAFNItoNIFTI',
    'minc2_baddim.mnc': 'mnc2nii',
    'tiny.mnc': 'mnc2nii',
    'test.mgz': 'mri_convert',
    'analyze.hdr': 'Spm2AnalyzeImage',
    'nifti1.hdr': 'nifti1.img is missing',
    'nifti2.hdr': 'nifti2.img is missing',
    'row_major.dconn.nii': 'Cifti2Image',
    'resampled_anat_moved.nii': 'not finite',
}
STORED = {
    'anatomical.nii': 'uint16',
    'example4d.nii.gz': 'uint16',
    'example_nifti2.nii.gz': 'uint16',
    'functional.nii': 'uint16',
    'reoriented_anat_moved.nii': 'float32',
    'standard.nii.gz': 'uint8',
}


def _volume(shape=(5, 6, 7), dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(-100, 100, shape).astype(dtype)


def _save(path, values, affine=None, dtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(
        nib.Nifti1Image(values, np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine, dtype=dtype), path
    )


def _displayed(path, axis):
    """What nibabel decodes, on RAS+ axes, cut and turned upright: (volume, slice, row, column)."""
    values = nib.as_closest_canonical(nib.load(path)).get_fdata()
    values = values if values.ndim == 4 else values[..., np.newaxis]
    cut = np.moveaxis(values, (3, axis), (0, 1))  # volume, slice, first axis left, second axis left
    return np.flip(np.swapaxes(cut, 2, 3), (2, 3))


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_real_files_equal_nibabel_or_are_refused(medical_data, read, axis):
    folder = medical_data / 'nifti'
    reading = read('nifti', folder, axis=axis)
    assert dict.fromkeys(REFUSED, True) == {
        name: REFUSED[name] in reason for name, reason in reading.refused.items()
    }
    assert {name: records[0].image.dtype.name for name, records in reading.by_source.items()} == STORED
    for name, records in reading.by_source.items():
        expected = _displayed(folder / name, axis)
        planes = expected.reshape(-1, *expected.shape[2:])
        planes = planes[planes.min((1, 2)) != planes.max((1, 2))]
        assert len(planes) == len(records)
        for plane, record in zip(planes, records, strict=True):
            physical = to_physical(record.image[..., 0], record.intensity)
            np.testing.assert_allclose(physical, plane, rtol=2e-7, atol=1e-6 * np.ptp(record.intensity) / 65535)


def test_window_is_that_of_the_volume(medical_data, read):
    reading = read('nifti', medical_data / 'nifti', percentiles=(1.0, 98.0))
    values = nib.load(medical_data / 'nifti' / 'functional.nii').get_fdata()
    records = reading.by_source['functional.nii']
    windows = sorted({record.window for record in records}, key=[record.window for record in records].index)
    np.testing.assert_allclose(windows, [np.percentile(values[..., t], [1, 98]) for t in range(20)], rtol=1e-6)


@pytest.mark.parametrize(
    ('axis', 'top_left', 'spacing'),
    [(2, 'RA', (3.0, 2.0, 4.0)), (1, 'RS', (4.0, 2.0, 3.0)), (0, 'AS', (4.0, 3.0, 2.0))],
)
@pytest.mark.parametrize('codes', ['RAS', 'LPS', 'SAR', 'PIL'])
def test_display_convention(tmp_path, read, axis, top_left, spacing, codes):
    """The brightest voxel lies in the corner of the body that must be shown at the top left."""
    values = np.zeros((5, 6, 7), np.int16)
    position = [4 if 'R' in top_left else 2, 5 if 'A' in top_left else 2, 6 if 'S' in top_left else 2]
    values[tuple(position)] = 9
    image = nib.Nifti1Image(values, np.diag([2.0, 3.0, 4.0, 1.0]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    nib.save(image.as_reoriented(turn), tmp_path / 'a.nii.gz')
    (record,) = read('nifti', tmp_path, axis=axis).records
    assert record.image.argmax() == 0
    assert record.spacing == spacing
    assert record.key == 'a.nii.gz/0002'


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize('order', ['<', '>'])
def test_types_and_byte_orders(tmp_path, read, dtype, order):
    values = _volume(dtype=dtype)
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(dtype)
    nib.save(nib.Nifti1Image(values, np.eye(4), header), tmp_path / 'a.nii')
    records = read('nifti', tmp_path).records
    restored = np.stack([to_physical(r.image[..., 0], r.intensity)[::-1, ::-1].T for r in records], -1)
    np.testing.assert_array_equal(restored, values)
    wide = {1: 'uint8', 2: 'uint16'}.get(np.dtype(dtype).itemsize, 'float32')
    assert records[0].image.dtype == wide


def test_negative_slope_keeps_higher_brighter(tmp_path, read):
    image = nib.Nifti1Image(_volume(), np.eye(4))
    image.header.set_slope_inter(-0.5, 10)
    nib.save(image, tmp_path / 'a.nii')
    with (tmp_path / 'a.nii').open('r+b') as file:  # nibabel resets the scaling when it saves
        file.seek(112)
        file.write(np.array([-0.5, 10], '<f4').tobytes())
    expected = nib.load(tmp_path / 'a.nii').get_fdata()
    records = read('nifti', tmp_path).records
    assert records[0].intensity[0] < records[0].intensity[1]
    restored = np.stack([to_physical(r.image[..., 0], r.intensity)[::-1, ::-1].T for r in records], -1)
    np.testing.assert_array_equal(restored, expected)


def test_units_become_millimetres(tmp_path, read):
    image = nib.Nifti1Image(_volume(), np.diag([500.0, 600.0, 700.0, 1.0]))
    image.header.set_xyzt_units('micron')
    nib.save(image, tmp_path / 'a.nii')
    np.testing.assert_allclose(read('nifti', tmp_path).records[0].spacing, (0.6, 0.5, 0.7))


@pytest.mark.parametrize(
    ('images', 'labels'), [('images', 'labels'), ('images', 'masks'), ('imagesTr', 'labelsTr')]
)
def test_labels_are_cut_like_their_volumes(tmp_path, read, images, labels):
    for case in ('a', 'b'):
        _save(tmp_path / images / f'{case}.nii.gz', _volume((5, 6, 7, 2)))
        _save(tmp_path / labels / f'{case}.nii.gz', (_volume(seed=1) > 50).astype(np.uint8) * 2)
    _save(tmp_path / 'imagesTs' / 'c.nii.gz', _volume()) if images == 'imagesTr' else None
    reading = read('nifti', tmp_path)
    assert [item.patient for item in reading.items] == ['a', 'b']
    assert not reading.refused
    expected = _displayed(tmp_path / labels / 'a.nii.gz', 2)[0]
    masks = np.stack([record.mask[..., 0] for record in reading.records[:14]])
    np.testing.assert_array_equal(masks, np.concatenate([expected, expected]))
    assert reading.records[7].key == f'{images}/a.nii.gz/0001/0000'


def test_channels_of_nnunet_share_labels_and_patient(tmp_path, read):
    for channel in ('0000', '0001'):
        _save(tmp_path / 'imagesTr' / f'case_{channel}.nii.gz', _volume())
    _save(tmp_path / 'labelsTr' / 'case.nii.gz', np.ones((5, 6, 7), np.uint8))
    reading = read('nifti', tmp_path)
    assert [item.patient for item in reading.items] == ['case', 'case']
    assert not reading.refused


def test_numbers_of_patients_are_not_taken_for_channels(tmp_path, read):
    for case in ('scan_0001', 'scan_0002'):
        _save(tmp_path / 'imagesTr' / f'{case}.nii.gz', _volume())
        _save(tmp_path / 'labelsTr' / f'{case}.nii.gz', np.ones((5, 6, 7), np.uint8))
    assert [item.patient for item in read('nifti', tmp_path).items] == ['scan_0001', 'scan_0002']
    assert [item.patient for item in read('nifti', tmp_path / 'imagesTr').items] == ['scan_0001', 'scan_0002']


def test_bad_labels_are_refused(tmp_path, read):
    for case in ('good', 'shape', 'place', 'values', 'lonely'):
        _save(tmp_path / 'images' / f'{case}.nii.gz', _volume())
    ids = np.ones((5, 6, 7), np.uint8)
    _save(tmp_path / 'labels' / 'good.nii.gz', ids)
    _save(tmp_path / 'labels' / 'shape.nii.gz', ids[:4])
    moved = np.diag([2.0, 3.0, 4.0, 1.0])
    moved[0, 3] = 1.5
    _save(tmp_path / 'labels' / 'place.nii.gz', ids, moved)
    _save(tmp_path / 'labels' / 'values.nii.gz', _volume())
    _save(tmp_path / 'labels' / 'nobody.nii.gz', ids)
    reading = read('nifti', tmp_path)
    assert {record.source for record in reading.records} == {'images/good.nii.gz'}
    reasons = reading.refused
    assert 'shapes 5x6x7x1 and 4x6x7x1' in reasons['images/shape.nii.gz']
    assert 'different places' in reasons['images/place.nii.gz']
    assert 'the mask has the values' in reasons['images/values.nii.gz']
    assert 'has no labels' in reasons['images/lonely.nii.gz']
    assert 'without a volume' in reasons['labels/nobody.nii.gz']
    assert len(reasons) == 5


def test_unusable_volumes_are_refused(tmp_path, read):
    _save(tmp_path / 'good.nii', _volume())
    _save(tmp_path / 'cut.nii', _volume())
    (tmp_path / 'cut.nii').write_bytes((tmp_path / 'cut.nii').read_bytes()[:-9])
    _save(tmp_path / 'cut.nii.gz', _volume((30, 30, 30)))
    (tmp_path / 'cut.nii.gz').write_bytes((tmp_path / 'cut.nii.gz').read_bytes()[:-3000])
    _save(tmp_path / 'short.nii.gz', _volume())
    shorter = gzip.decompress((tmp_path / 'short.nii.gz').read_bytes())[:-9]
    (tmp_path / 'short.nii.gz').write_bytes(gzip.compress(shorter))
    _save(tmp_path / 'constant.nii', np.full((5, 6, 7), 3, np.int16))
    _save(tmp_path / 'complex.nii', _volume().astype(np.complex64))
    _save(tmp_path / 'five.nii', _volume((2, 3, 4, 1, 3)))
    _save(tmp_path / 'large.nii', _volume((20, 20, 20)))
    (tmp_path / 'noise.nii').write_bytes(bytes(range(256)) * 4)
    (tmp_path / 'empty.nii.gz').write_bytes(b'')
    reading = read('nifti', tmp_path, pixel_limit=5**3 * 10)
    assert {record.source for record in reading.records} == {'good.nii'}
    wanted = {
        'cut.nii': 'is truncated', 'cut.nii.gz': 'pixel_limit', 'short.nii.gz': 'truncated or damaged',
        'constant.nii': 'is constant', 'complex.nii': 'complex64', 'five.nii': 'two to four axes',
        'large.nii': 'pixel_limit', 'noise.nii': 'not readable', 'empty.nii.gz': 'not readable',
    }  # fmt: skip
    assert dict.fromkeys(wanted, True) == {
        name: wanted[name] in reason for name, reason in reading.refused.items()
    }
    assert 'truncated or damaged' in read('nifti', tmp_path).refused['cut.nii.gz']


@pytest.mark.parametrize('sides', [(4, 5, -1, 4, 2**62), (4, 5, 6, -7, 2**40), (4, -(2**62), 6, 4, 3)])
def test_headers_that_describe_less_than_nothing_are_refused(tmp_path, read, sides):
    """A negative side makes the number of bytes negative, and so less than the file has."""
    _save(tmp_path / 'good.nii', _volume())
    nib.Nifti2Image(_volume((5, 6, 4, 2)), np.eye(4)).to_filename(tmp_path / 'damaged.nii')
    content = bytearray((tmp_path / 'damaged.nii').read_bytes())
    content[16:56] = np.array(sides, '<i8').tobytes()  # `dim` of NIfTI-2: how many axes, then their sides
    (tmp_path / 'damaged.nii').write_bytes(content)
    reading = read('nifti', tmp_path)
    assert {record.source for record in reading.records} == {'good.nii'}
    assert list(reading.refused) == ['damaged.nii']


def test_empty_slices_are_left_out(tmp_path, read):
    values = np.zeros((5, 6, 7), np.int16)
    values[:, :, 2:4] = _volume((5, 6, 2))
    _save(tmp_path / 'a.nii', values)
    assert [record.key for record in read('nifti', tmp_path).records] == ['a.nii/0002', 'a.nii/0003']
    ramp = np.broadcast_to(np.arange(7, dtype=np.int16), (5, 6, 7))
    _save(tmp_path / 'a.nii', ramp)
    assert 'choose another --axis' in read('nifti', tmp_path).refused['a.nii']


def test_pairs_of_header_and_voxels(tmp_path, read):
    values = _volume()
    nib.save(nib.Nifti1Pair(values, np.eye(4)), tmp_path / 'a.hdr')
    reading = read('nifti', tmp_path)
    assert len(reading.records) == 7
    assert not reading.refused


def test_empty_folder_raises(tmp_path, read):
    with pytest.raises(DataError, match='holds no volumes'):
        read('nifti', tmp_path)


def test_labels_beside_their_volumes_are_found_by_name(tmp_path, read):
    for number in (1, 2):
        folder = tmp_path / f'case{number}'
        for sequence in ('t1', 'flair'):
            _save(folder / f'p.{number}_{sequence}.nii.gz', _volume(seed=number))
        labels = np.zeros((5, 6, 7), np.uint8)
        labels[1:3, 2, 3:6] = 4
        _save(folder / f'p.{number}_seg.nii.gz', labels)
    reading = read('nifti', tmp_path)
    assert not reading.refused
    assert {item.patient for item in reading.items} == {'p.1', 'p.2'}
    assert len(reading.items) == 4
    assert reading.notes == [
        '4 volumes have labels beside them by name, such as case1/p.1_seg.nii.gz for case1/p.1_flair.nii.gz.'
    ]
    assert set(np.unique([record.mask for record in reading.records])) == {0, 4}


def test_volumes_stay_where_no_name_pairs_them_with_labels(tmp_path, read):
    for number in (1, 2):
        _save(tmp_path / f'sub-{number}_T1w.nii.gz', _volume(seed=number))
        _save(tmp_path / f'sub-{number}_desc-brain_mask.nii.gz', np.ones((5, 6, 7), np.uint8))
    reading = read('nifti', tmp_path)
    assert [item.key for item in reading.items] == ['sub-1_T1w.nii.gz', 'sub-2_T1w.nii.gz']
    assert all(record.mask is None for record in reading.records)
    assert len(reading.refused) == 2
    assert all('rename it where it is an image' in reason for reason in reading.refused.values())


def test_labels_are_never_taken_for_volumes(tmp_path, read):
    _save(tmp_path / 'a' / 'ct.nii.gz', _volume())
    _save(tmp_path / 'a' / 'segmentations' / 'liver.nii.gz', _volume())
    _save(tmp_path / 'b' / 'x_mask.nii.gz', _volume())
    _save(tmp_path / 'c' / 'y.nii.gz', _volume())
    _save(tmp_path / 'c' / 'y-label.nii', np.ones((5, 6, 7), np.uint8))
    reading = read('nifti', tmp_path)
    assert [item.key for item in reading.items] == ['c/y.nii.gz']
    assert reading.refused['a/ct.nii.gz'] == 'has no labels beside it, while others have'
    assert reading.refused['a/segmentations/liver.nii.gz'].startswith('lies in segmentations/, so it holds labels')
    assert reading.refused['b/x_mask.nii.gz'].startswith('holds labels by its name')


@pytest.mark.parametrize(
    ('stored', 'dtype', 'slope'), [(255, np.int16, 1), (255, np.uint8, 1 / 255), (1, np.float64, 1)]
)
def test_binary_labels_of_any_type_and_scaling(tmp_path, read, stored, dtype, slope):
    _save(tmp_path / 'imagesTr' / 'a.nii.gz', _volume())
    values = np.zeros((5, 6, 7), dtype)
    values[1:3, 2, 3:6] = stored
    labels = nib.Nifti1Image(values, nib.load(tmp_path / 'imagesTr' / 'a.nii.gz').affine)
    (tmp_path / 'labelsTr').mkdir()
    nib.save(labels, tmp_path / 'labelsTr' / 'a.nii')
    with (tmp_path / 'labelsTr' / 'a.nii').open('r+b') as file:
        file.seek(112)
        file.write(np.array([slope, 0], '<f4').tobytes())
    reading = read('nifti', tmp_path)
    assert not reading.refused
    assert set(np.unique([record.mask for record in reading.records])) == {0, 1}


@pytest.mark.parametrize(('slope', 'intercept'), [(1, 3), (0.5, -2), (-1, 3), (-0.5, 1)])
def test_labels_are_scaled_as_their_header_says(tmp_path, read, slope, intercept):
    ids = np.random.default_rng(0).integers(0, 4, (5, 6, 7))
    _save(tmp_path / 'imagesTr' / 'a.nii.gz', _volume())
    values = ((ids - intercept) / slope).astype(np.int16)
    labels = nib.Nifti1Image(values, nib.load(tmp_path / 'imagesTr' / 'a.nii.gz').affine)
    labels.header.set_slope_inter(slope, intercept)
    (tmp_path / 'labelsTr').mkdir()
    nib.save(labels, tmp_path / 'labelsTr' / 'a.nii')
    np.testing.assert_array_equal(nib.load(tmp_path / 'labelsTr' / 'a.nii').get_fdata(), ids)
    reading = read('nifti', tmp_path)
    assert not reading.refused
    shown = np.stack([record.mask[::-1, ::-1, 0].T for record in reading.records], axis=-1)
    np.testing.assert_array_equal(shown, ids)


def test_suffixes_in_capitals(tmp_path, read):
    _save(tmp_path / 'imagesTr' / 'A_0000.NII.GZ', _volume())
    _save(tmp_path / 'labelsTr' / 'A.NII', np.eye(5, 6, dtype=np.uint8)[..., None].repeat(7, -1))
    reading = read('nifti', tmp_path)
    assert [(item.key, item.patient) for item in reading.items] == [('imagesTr/A_0000.NII.GZ', 'A')]
    assert not reading.refused


def test_headers_that_contradict_themselves_are_told_of(tmp_path, read):
    sound = nib.Nifti1Image(_volume(), np.diag([2, 2, 3, 1]))
    nib.save(sound, tmp_path / 'sound.nii')
    assert not read('nifti', tmp_path).notes
    sound.header['pixdim'][1:4] = 0.7
    sound.header.set_sform(np.eye(4), 1)
    nib.save(nib.Nifti1Pair(sound.dataobj, None, sound.header), tmp_path / 'sides.hdr')
    moved = np.eye(4)
    moved[0, 3] = 30
    places = nib.Nifti1Image(_volume(), np.eye(4))
    places.set_qform(moved, 1)
    places.set_sform(np.eye(4), 1)
    nib.save(places, tmp_path / 'places.nii')
    (note,) = read('nifti', tmp_path).notes
    assert note.startswith(
        '2 headers contradict themselves, such as that of places.nii: sform and qform put a corner 30'
    )
    (tmp_path / 'places.nii').unlink()
    (note,) = read('nifti', tmp_path).notes
    assert 'voxels are 0.7 x 0.7 x 0.7 by pixdim and 1 x 1 x 1 by the sform' in note


def test_nothing_outside_the_brain_is_refused_with_the_remedy(tmp_path, read):
    values = _volume(dtype=np.float32)
    values[:2] = np.nan
    _save(tmp_path / 'a.nii', values, dtype=np.float32)
    reading = read('nifti', tmp_path)
    assert reading.refused['a.nii'].startswith('a.nii: has 84 values that are not finite')
    assert 'numpy.nan_to_num' in reading.refused['a.nii']
