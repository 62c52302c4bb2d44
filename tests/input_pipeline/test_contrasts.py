"""Heads in several contrasts: one anatomy, one mask, known values, and tumours as often as asked for."""

import numpy as np
import pytest

from input_pipeline import DataError, prepare
from input_pipeline.dataset.summary import read_records
from input_pipeline.domains import pair_records
from input_pipeline.phantom import ContrastOptions, draw, scan_contrasts
from input_pipeline.phantom.brain_mr import create_head
from input_pipeline.phantom.geometry import create_grid
from input_pipeline.phantom.head_tissues import CT, T1, T2
from input_pipeline.phantom.images import CONTRASTS, draw_as
from input_pipeline.phantom.randomness import Purpose, create_generator
from input_pipeline.phantom.texture import create_warp

TISSUES = {'CT': CT, 'T1': T1, 'T2': T2}


def _options(**changes):
    values = {
        'count': 24,
        'size': 16,
        'contrasts': ('CT', 'T1', 'T2'),
        'prevalence': (0.5,),
        'seed': 3,
        'images_per_patient': 2,
        'classes': 'lesion',
    }
    return ContrastOptions(**values | changes)


def test_a_tumour_has_the_same_mask_in_all_contrasts_and_stands_out_in_each():
    for seed in range(4):
        drawn = {name: draw_as(own, seed, 1, 96, lesion=True) for name, own in CONTRASTS.items()}
        masks = [mask for _, mask in drawn.values()]
        assert masks[0].any()
        assert all(np.array_equal(masks[0], mask) for mask in masks[1:])
        for name, (image, mask) in drawn.items():
            healthy, _ = draw_as(CONTRASTS[name], seed, 1, 96, lesion=False)
            change = np.abs(image - healthy)
            assert change[mask > 0].mean() > 3 * change[mask == 0].mean()


def test_tissues_have_their_values_at_known_places():
    allowed = {'CT': {'abs': 6.0}, 'T1': {'rel': 0.25}, 'T2': {'rel': 0.25}}  # coils shade MR
    low = 0
    for seed in range(12):
        head = create_head(create_generator(seed, Purpose.ANATOMY, 0), create_generator(seed, Purpose.SLICE, 0))
        grid = create_grid(256, head.pose, create_warp(seed, 0, 256, 0.013))
        horn = (np.abs(grid.x) - 0.065) ** 2 + (grid.y + 0.21) ** 2 < 0.015**2
        if head.level > 0.6:
            continue
        low += 1
        images = {name: draw_as(own, seed, 0, 256, lesion=False)[0] for name, own in CONTRASTS.items()}
        white = (np.abs(grid.x) + np.abs(grid.y) < 0.5) & (images['T1'] > 2150)
        for name, tissues in TISSUES.items():
            image = images[name]
            assert np.median(image[horn]) == pytest.approx(tissues.fluid, **allowed[name]), (seed, name)
            assert abs(np.median(image[:10, :10]) - tissues.air) < (4.0 if name == 'CT' else 120.0)
            assert np.median(image[white]) == pytest.approx(tissues.white, **allowed[name]), (seed, name)
        assert images['CT'].max() > 900  # HU: the skull
    assert low >= 4


def test_the_mr_phantom_is_the_t1_contrast_and_noise_is_shared_by_none():
    images = {name: draw_as(own, 5, 0, 128, lesion=False)[0] for name, own in CONTRASTS.items()}
    np.testing.assert_array_equal(images['T1'], draw('MR', 5, 0, 128, lesion=False)[0])
    corner = np.s_[:24, :24]  # air
    noise = np.stack([images[name][corner].ravel() - images[name][corner].mean() for name in images])
    assert np.abs(np.corrcoef(noise)[~np.eye(3, dtype=bool)]).max() < 0.15


def test_patients_with_a_tumour_where_it_is_rare_have_one_where_it_is_frequent():
    items = scan_contrasts(_options(count=400, contrasts=('CT', 'T1'), prevalence=(0.2, 0.7)))
    found = {name: {item.patient for item in items if item.label == f'{name}_lesion'} for name in ('CT', 'T1')}
    assert found['CT'] < found['T1']
    assert 0.2 * 200 - 17 < len(found['CT']) < 0.2 * 200 + 17  # three standard deviations
    assert 0.7 * 200 - 20 < len(found['T1']) < 0.7 * 200 + 20


def test_classes_may_be_the_contrasts_alone_of_the_same_images():
    plain, told = scan_contrasts(_options(classes='contrast')), scan_contrasts(_options())
    assert [item.label for item in plain[:3]] == ['CT', 'T1', 'T2']
    for one, other in zip(plain[:6], told[:6], strict=True):
        for own, same in zip(one.load(), other.load(), strict=True):
            np.testing.assert_array_equal(own.image, same.image)
            np.testing.assert_array_equal(own.mask, same.mask)
            assert (own.label, own.key) == (one.label, same.key)


def test_records_are_the_same_whenever_they_are_drawn():
    items = scan_contrasts(_options())
    assert [item.key for item in items[:3]] == ['head-3-00000-CT', 'head-3-00000-T1', 'head-3-00000-T2']
    alone = scan_contrasts(_options(contrasts=('T2',)))
    for one, other in zip(items[2].load(), alone[0].load(), strict=True):
        assert (one.key, one.patient, one.modality) == (other.key, 'head-3-00000', 'MR')
        np.testing.assert_array_equal(one.image, other.image)
        assert one.intensity == (0.0, 4095.0)


def test_the_command_prepares_them_and_slices_pair(tmp_path, capsys):
    flags = ['--source=contrasts', f'--data_dir={tmp_path}', '--count=20', '--size=8', '--images_per_patient=2']
    assert prepare.main([*flags, '--name=ct', '--contrasts=CT', '--prevalence=0.2']) == 0
    assert prepare.main([*flags, '--name=mr', '--contrasts=T1,T2', '--prevalence=0.2,0.8']) == 0
    capsys.readouterr()
    ct, mr = (read_records(next((tmp_path / name).iterdir()), 'train') for name in ('ct', 'mr'))
    chosen = mr.select([place for place, label in enumerate(mr.labels) if label.startswith('T1')])
    places = pair_records(ct, chosen)
    assert len(places[0]) == len(ct.keys) == len(chosen.keys) > 0
    assert [ct.keys[place].replace('-CT', '-T1') for place in places[0]] == [chosen.keys[own] for own in places[1]]
    assert set(mr.modalities) == {'MR'}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'contrasts': ('CT', 'PD')}, 'choose one or more of CT, T1, T2'),
        ({'contrasts': ()}, 'choose one or more'),
        ({'prevalence': (0.2, 0.8)}, 'one share from 0 to 1, or one of each contrast'),
        ({'prevalence': (1.5,)}, r'prevalence is \(1\.5,\)'),
        ({'count': 0}, 'count is 0'),
        ({'size': 7}, '8 to 1024'),
        ({'seed': -1}, 'seed is -1'),
        ({'images_per_patient': 0}, 'images_per_patient is 0'),
        ({'classes': 'none'}, "classes are 'none': choose one of lesion, contrast"),
    ],
)
def test_options_out_of_range_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        _options(**changes)
