"""Masks that no name tells from images are refused where they lie beside their images, and images never are."""

import cv2
import nibabel as nib
import numpy as np
import pytest

from input_pipeline.prepare import main
from input_pipeline.readers.label_maps import is_label_map


def _scan(*shape, seed=0):
    return np.random.default_rng(seed).integers(-1000, 2000, shape).astype(np.int16)


def _labels(*shape, values=(1, 2), dtype=np.int16):
    """Boxes on background."""
    labels = np.zeros(shape, dtype)
    labels[1:4, 2:18] = values[0]
    labels[5:, 4:9] = values[-1]
    return labels


def _save(path, values, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if '.nii' in path.name:
        nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    else:
        cv2.imwrite(str(path), values)


@pytest.mark.parametrize('values', [(1, 2), (255, 255), (100, 100), (500, 600)])
@pytest.mark.parametrize('dtype', [np.int16, np.float32])
def test_label_maps_beside_their_volumes_are_refused(tmp_path, read, values, dtype):
    for patient in ('p1', 'p2'):
        _save(tmp_path / patient / 't1.nii.gz', _scan(8, 20, 6))
        _save(tmp_path / patient / 'truth.nii', _labels(8, 20, 6, values=values, dtype=dtype))
    reading = read('nifti', tmp_path)
    assert set(reading.by_source) == {'p1/t1.nii.gz', 'p2/t1.nii.gz'}
    reason = reading.refused['p1/truth.nii']
    assert f'holds {len({0, *values})} values in patches, as masks do, and p1/t1.nii.gz is an image' in reason
    assert set(read('nifti', tmp_path, keep_label_maps=True).by_source) > {'p1/truth.nii'}


def test_label_maps_are_known_by_their_patient_too(tmp_path, read):
    _save(tmp_path / 'scan' / 'p1.nii', _scan(8, 20, 6))
    _save(tmp_path / 'tumour' / 'p1.nii', _labels(8, 20, 6))
    assert set(read('nifti', tmp_path).refused) == {'tumour/p1.nii'}


def test_volumes_of_few_values_stay_where_they_can_be_images(tmp_path, read):
    for number in range(3):  # all are alike
        _save(tmp_path / 'maps' / f'{number}.nii', _labels(8, 20, 6, values=(number + 1, 9)))
    _save(tmp_path / 'sizes' / 'scan.nii', _scan(8, 20, 5))
    _save(tmp_path / 'sizes' / 'map.nii', _labels(8, 20, 6))
    _save(tmp_path / 'places' / 'scan.nii', _scan(8, 20, 6))
    _save(tmp_path / 'places' / 'map.nii', _labels(8, 20, 6), np.diag([1, 1, 2, 1]))
    _save(tmp_path / 'noise' / 'scan.nii', _scan(8, 20, 6))
    _save(tmp_path / 'noise' / 'coarse.nii', (_scan(8, 20, 6) // 300).astype(np.int16))
    _save(tmp_path / 'many' / 'scan.nii', _scan(8, 20, 6))
    _save(tmp_path / 'many' / 'steps.nii', np.arange(8 * 20 * 6, dtype=np.int16).reshape(20, 6, 8).T // 40)
    assert read('nifti', tmp_path).refused == {}


@pytest.mark.parametrize('colour', [False, True])
def test_label_maps_among_pictures_are_refused(tmp_path, read, colour):
    for number in range(4):
        mask = _labels(10, 20, values=(number + 1, 255), dtype=np.uint8)
        _save(tmp_path / f'{number}.png', _scan(10, 20, seed=number).astype(np.uint8))
        _save(tmp_path / f'{number}x.png', np.dstack([mask, mask // 2, mask]) if colour else mask)
    reading = read('image_folder', tmp_path)
    assert set(reading.refused) == {f'{number}x.png' for number in range(4)}
    assert {record.key for record in reading.records} == {f'{number}.png' for number in range(4)}
    assert read('image_folder', tmp_path, keep_label_maps=True).refused == {}


def test_pictures_of_few_values_stay_where_they_can_be_images(tmp_path, read):
    for number in range(4):
        _save(tmp_path / 'drawings' / f'{number}.png', _labels(10, 20, values=(255, 255 - number), dtype=np.uint8))
        _save(tmp_path / 'dark' / f'{number}.png', (_scan(10, 20, seed=number) % 7).astype(np.uint8))
        _save(tmp_path / 'grey' / f'{number}.png', _scan(10, 20, seed=number).astype(np.uint8))
    _save(tmp_path / 'dark' / 'bright.png', _scan(10, 20).astype(np.uint8))
    assert read('image_folder', tmp_path).refused == {}


def test_label_maps_among_arrays_are_refused(tmp_path, read):
    np.save(tmp_path / 'scans.npy', np.stack([_scan(10, 20, seed=seed) for seed in range(3)]))
    np.save(tmp_path / 'truth.npy', np.stack([_labels(10, 20, values=(seed, 4)) for seed in range(3)]))
    reading = read('arrays', tmp_path)
    assert set(reading.by_source) == {'scans.npy'}
    assert 'as masks do, and scans.npy as many images' in reading.refused['truth.npy']
    assert set(read('arrays', tmp_path, keep_label_maps=True).by_source) == {'scans.npy', 'truth.npy'}
    np.save(tmp_path / 'scans.npy', np.stack([_scan(10, 20, seed=seed) for seed in range(4)]))
    assert read('arrays', tmp_path).refused == {}


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.float64, bool])
def test_what_a_label_map_is(dtype):
    assert is_label_map(_labels(10, 20, dtype=dtype))
    assert not is_label_map(np.ones((10, 20), dtype))
    assert not is_label_map(np.tile(np.array([0, 1], dtype), (10, 10)))


def test_fractions_and_unknown_values_are_no_label_map():
    assert not is_label_map(_labels(10, 20, dtype=np.float32) / 2)
    for value in (np.nan, np.inf):
        assert not is_label_map(_labels(10, 20, values=(value, 1), dtype=np.float32))


def test_the_command_stops_or_keeps(tmp_path, capsys):
    for number in range(3):
        _save(tmp_path / 'set' / f'{number}.png', _scan(10, 20, seed=number).astype(np.uint8))
    _save(tmp_path / 'set' / 'x.png', _labels(10, 20, dtype=np.uint8))
    arguments = ['--source=image_folder', f'--path={tmp_path}/set', '--name=a', f'--data_dir={tmp_path}/data']
    arguments += ['--validation_fraction=0', '--test_fraction=0']
    assert main(arguments) == 1
    assert 'prepare: x.png: holds 3 values in patches' in capsys.readouterr().err
    assert main([*arguments, '--keep_label_maps']) == 0
    assert len(list((tmp_path / 'data').rglob('summary.json'))) == 1
