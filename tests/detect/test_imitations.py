"""Fakes made of real images: what layers do, against other implementations; whose they are; and the command."""

import cv2
import numpy as np
import pytest

from detect import imitations, prepare
from detect.imitations import blend, double_bilinear, double_nearest, draw_opacity, halve, transpose_convolve
from input_pipeline.dataset.items import open_splits
from input_pipeline.dataset.summary import read_records
from tests.input_pipeline.items import make_item, write

SPLITS = ('train', 'validation', 'test')
RANDOM = np.random.default_rng(0)


def _picture(height, width, channels=1):
    return np.random.default_rng(1).random((height, width, channels)).astype(np.float32)


@pytest.mark.parametrize(('height', 'width'), [(8, 8), (7, 10), (9, 5)])
def test_doubling_bilinearly_is_that_of_opencv(height, width):
    small = _picture(height, width)
    expected = cv2.resize(small, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)[..., None]
    np.testing.assert_allclose(double_bilinear(small, (2 * height, 2 * width), RANDOM), expected, atol=1e-6)


def test_a_transposed_convolution_spreads_each_pixel_by_its_taps():
    """Scattered by loops: of stride 2, four taps, and a padding of 1; away from the edges, which are repeated."""
    small, rows, columns = _picture(5, 6), RANDOM.random(4), RANDOM.random(4)
    whole = np.zeros((2 * 5 + 2, 2 * 6 + 2))
    for row in range(5):
        for column in range(6):
            whole[2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += (
                np.outer(rows, columns) * small[row, column]
            )
    found = transpose_convolve(small, rows, columns)[..., 0]
    np.testing.assert_allclose(found[1:-1, 1:-1], whole[2:-2, 2:-2], rtol=1e-5)


def test_halving_and_doubling_by_nearest_pixel_keeps_means_of_fields():
    picture = _picture(8, 6, 3)
    doubled = double_nearest(halve(picture), (8, 6), RANDOM)
    fields = picture.reshape(4, 2, 3, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(doubled[::2, ::2], fields, rtol=1e-6)
    np.testing.assert_array_equal(doubled[1::2, 1::2], doubled[::2, ::2])
    assert double_nearest(halve(_picture(7, 5)), (7, 5), RANDOM).shape == (7, 5, 1)


def test_a_blend_changes_only_what_its_opacity_shows():
    picture, other = _picture(32, 32), 0.3 * _picture(32, 32)[::-1]
    opacity = draw_opacity(32, 32, RANDOM)
    blended = blend(picture, other, opacity)
    assert 0.02 < (opacity > 0).mean() < 0.7
    np.testing.assert_array_equal(blended[opacity == 0], picture[opacity == 0])
    middle = opacity > 0.9 * opacity.max()
    assert np.abs(blended - picture)[middle].mean() > 0.05
    # Grey levels are those of the place: their weighted mean stays.
    weights = opacity[..., None] / opacity.sum()
    assert (weights * blended).sum() == pytest.approx((weights * picture).sum(), abs=0.02)


@pytest.fixture
def reals(tmp_path):
    """Smooth pictures of 12 patients, two each, of two classes."""
    items = []
    for number in range(24):
        noise = np.random.default_rng(number).standard_normal((40, 40)).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), 3)
        picture = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)[..., None]
        items.append(make_item(
            f'i{number:02d}', [picture], patient=f'p{number // 2:02d}', split=SPLITS[number % 12 // 4],
            label='AB'[number // 12], intensity=(0.0, 255.0), window=(0.0, 255.0), modality='CT',
        ))  # fmt: skip
    write(items, tmp_path, 'reals')
    return tmp_path


def _prepare(folder, *flags, name='mixed'):
    arguments = [f'--name={name}', '--real', 'reals', '--resolution=32', f'--data_dir={folder}']
    return prepare.main([*arguments, *flags])


def test_imitations_stay_on_the_side_of_their_patients(reals):
    assert _prepare(reals, '--imitations', *imitations.IMITATIONS, '--imitated=0.5') == 0
    splits = open_splits('mixed', reals)
    summary = splits['train'].summary
    each = dict.fromkeys(imitations.IMITATIONS, 4)
    assert summary['classes_by_split'] == {split: each | {'real': 8} for split in SPLITS}
    patients = [set(read_records(splits['train'].folder, split).patients) for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 12
    sources = {source['name']: source for source in summary['options']['sources']}
    assert sources['blended']['altered']
    assert sources['upsampled_nearest']['imitation'] == {'share': 0.5, 'seed': 0}


def test_an_imitation_is_its_real_image_with_a_trace(reals):
    assert _prepare(reals, '--imitations', *imitations.IMITATIONS, '--imitated=1') == 0
    split = open_splits('mixed', reals)['test']
    table = read_records(split.folder, 'test')
    records = {key: split.read(place) for place, key in enumerate(table.keys)}
    for key, record in records.items():
        kind, rest = key.split('/', 1)
        if kind == 'real':
            continue
        own = records[f'real/{rest}']
        assert own.patient == record.patient
        image = own.image.astype(np.float32) / 255
        if kind == 'blended':
            changed = (record.image != own.image)[..., 0]
            assert 0.01 < record.mask.mean() < 0.7
            assert changed[record.mask[..., 0] == 0].mean() < 0.1  # what is hardly seen is rounded away, or nearly
            assert changed[record.mask[..., 0] == 1].mean() > 0.5
        else:
            assert record.mask.all()
            doubled = {
                'upsampled_nearest': double_nearest(halve(image), (32, 32), RANDOM),
                'upsampled_bilinear': double_bilinear(halve(image), (32, 32), RANDOM),
            }.get(kind, image)
            tolerance = 0.4 if kind == 'upsampled_transposed' else 1.01 / 255
            np.testing.assert_allclose(record.image / 255, doubled, atol=tolerance)


def test_imitations_keep_the_shapes_of_their_images(tmp_path):
    items = [
        make_item(
            f'i{number}', [np.random.default_rng(number).integers(0, 256, shape, np.uint8)], patient=f'p{number}',
            split=SPLITS[number % 3], intensity=(0.0, 255.0), window=(0.0, 255.0), modality='CT',
        )
        for number, shape in enumerate([(40, 51, 1)] * 3 + [(33, 64, 1)] * 3)
    ]  # fmt: skip
    write(items, tmp_path, 'reals')
    flags = ('--resolution=native', '--longest=100', '--imitations', *imitations.IMITATIONS, '--imitated=1')
    assert _prepare(tmp_path, *flags) == 0
    split = open_splits('mixed', tmp_path)['test']
    assert split.summary['options']['form']['resolution'] == 100
    shapes = {'i2': (40, 51), 'i5': (33, 64)}
    for place in range(len(split.records)):
        record = split.read(place)
        (own,) = set(shapes) & set(record.key.split('/'))
        assert record.image.shape[:2] == record.mask.shape[:2] == shapes[own]


def test_the_same_seed_gives_the_same_set(reals):
    for name, seed in {'a': 1, 'b': 1, 'c': 2}.items():
        assert _prepare(reals, '--imitations', 'blended', '--imitated=0.5', f'--seed={seed}', name=name) == 0
    prints = [open_splits(name, reals)['train'].summary['fingerprint'] for name in 'abc']
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        ((), 'no synthetic image is named; give --fakes or --imitations'),
        (('--imitations', 'blurred'), 'invalid choice'),
        (('--imitations', 'blended', '--imitated=0'), 'share above 0, up to 1'),
        (('--imitations', 'blended', '--longest=64'), '--longest=64 is for --resolution=native alone'),
        (
            ('--imitations', 'blended', '--resolution=native', '--fit=crop'),
            '--fit=crop makes images square, and --resolution=native leaves their shape',
        ),
    ],
)
def test_what_cannot_be_imitated(reals, flags, expected):
    with pytest.raises(SystemExit) as stopped:
        _prepare(reals, *flags)
    assert expected in str(stopped.value.code)


def test_a_folder_of_the_same_name_is_refused(reals, capsys):
    (reals / 'fakes').mkdir()
    cv2.imwrite(str(reals / 'fakes' / 'a.png'), np.arange(1600, dtype=np.uint8).reshape(40, 40))
    flags = ('--imitations', 'blended', '--fakes', f'blended={reals / "fakes"}@train')
    assert _prepare(reals, *flags) == 1
    assert '--fakes and --imitations both have blended' in capsys.readouterr().err
