"""Volumes and single images: what belongs together, what a network sees, and the way back."""

import contextlib

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import input_pipeline
from input_pipeline import DataError, Preprocessing, preprocess_case, restore_size, split_masks
from input_pipeline.cases import create_case, find_neighbours, number_volumes, volume_of
from input_pipeline.decode import open_split
from input_pipeline.placement import fit_image, fit_mask
from input_pipeline.prepare import main
from tests.input_pipeline.items import make_item, random_images, write
from tests.input_pipeline.names import pseudonym

SHAPES = {'p1': (9, 6, 5), 'p2': (7, 8, 4), 'p3': (5, 5, 1), 'p4': (8, 8, 7)}  # RAS+: columns, rows, slices
FITS = ('pad', 'resize', 'native')


@pytest.mark.parametrize(
    ('key', 'expected'),
    [
        ('a/b.nii/003', 'a/b.nii'),
        ('series/1000', 'series'),
        ('a/b.png', 'a/b.png'),
        ('a.png', 'a.png'),
        ('007', '007'),
        ('a/b7', 'a/b7'),
    ],
)
def test_slices_are_told_by_the_number_behind_the_last_slash(key, expected):
    assert volume_of(key, 'p') == (expected, 'p')


def test_records_are_grouped_by_volume():
    keys = ['a.png', 'b/000', 'b/001', 'b/002', 'c/000', 'c/001', 'd.png']
    np.testing.assert_array_equal(number_volumes(keys, ['p'] * 7), [0, 1, 1, 1, 2, 2, 3])
    # Two patients whose keys begin alike are two volumes; one slice of each is a case of its own.
    np.testing.assert_array_equal(number_volumes(['b/000', 'b/001', 'b/002'], ['p', 'q', 'q']), [0, 1, 1])


@pytest.mark.parametrize('context', [0, 1, 2, 5])
def test_neighbours_end_with_their_volume(context):
    lengths = [1, 4, 2, 7]
    volumes = np.repeat(np.arange(4), lengths)
    expected = []
    for first, length in zip(np.cumsum([0, *lengths]), lengths, strict=False):
        for own in range(length):
            around = [min(max(own + step, 0), length - 1) for step in range(-context, context + 1)]
            expected.append([first + place for place in around])
    np.testing.assert_array_equal(find_neighbours(volumes, context), expected)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    """Volumes of four patients with masks, of different sizes."""
    folder = tmp_path_factory.mktemp('volumes')
    generator = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        for part, values in (
            ('images', generator.integers(0, 900, shape)),
            ('labels', generator.integers(0, 3, shape)),
        ):
            path = folder / 'nifti' / 'train' / part / f'{name}.nii.gz'
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(values.astype(np.int16), np.diag([2.0, 3.0, 4.0, 1.0])), path)
    data_dir = folder / 'data'
    flags = [f'--path={folder / "nifti"}', '--name=volumes', f'--data_dir={data_dir}', '--modality=MR']
    assert main(['--source=nifti', *flags]) == 0
    return data_dir


def _preprocessing(**changes):
    fields = {'resolution': 16, 'channels': 1, 'window': 'volume', 'fit': 'pad', 'mask_classes': 2, 'context': 1}
    return Preprocessing(**fields | changes)


def _open(data_dir, preprocessing, name='volumes', **changes):
    options = {
        'flip_horizontal': False,
        'flip_vertical': False,
        'seed': 5,
        'memory_budget_bytes': 2**30,
        'modalities': (),
        'classes': (),
        'target': 'class',
        'foreground_share': 0.0,
    }
    return input_pipeline.open_dataset(name, data_dir, 'train', preprocessing, **options | changes)


def _all(data):
    """Every example in stored order, images with their context and masks."""
    with contextlib.closing(data.in_order(16, 4)) as batches:
        return np.concatenate([batch['image'] for batch in batches])


def test_cases_are_the_volumes_that_were_prepared(data_dir):
    data = _open(data_dir, _preprocessing())
    cases = list(data.cases(1))
    names = {pseudonym(patient): patient for patient in sorted(SHAPES)}
    assert [case.patient for case in cases] == list(names)  # in the order of the names, not of their pseudonyms
    assert data.num_cases == len(SHAPES)
    for case in cases:
        columns, rows, slices = SHAPES[names[case.patient]]
        assert {record.image.shape for record in case.records} == {(rows, columns, 1)}
        assert len(case.records) == slices
        assert case.spacing == (4.0, 3.0, 2.0)
        numbers = [record.key.removeprefix(f'{case.name}/') for record in case.records]
        assert list(map(int, numbers)) == list(range(slices))
    assert [names[case.patient] for case in data.cases(3)] == ['p1', 'p4']


@pytest.mark.parametrize('context', [0, 1, 2])
def test_context_channels_are_the_neighbours_images(data_dir, context):
    single = _all(_open(data_dir, _preprocessing(context=0)))
    data = _open(data_dir, _preprocessing(context=context))
    assert data.channels == 2 * context + 1
    shown = _all(data)
    first = 0
    for _, _, slices in SHAPES.values():
        for own in range(slices):
            for channel, step in enumerate(range(-context, context + 1)):
                neighbour = first + min(max(own + step, 0), slices - 1)
                np.testing.assert_array_equal(shown[first + own, ..., channel], single[neighbour, ..., 0])
        first += slices
    np.testing.assert_array_equal(shown[..., 2 * context + 1 :], single[..., 1:])  # masks have no context


def test_shuffled_batches_hold_the_same_context_from_memory_and_from_disk(data_dir):
    kept = _open(data_dir, _preprocessing(), flip_horizontal=True)
    streamed = _open(data_dir, _preprocessing(), flip_horizontal=True, memory_budget_bytes=0)
    in_order, chosen = _all(kept), kept.selection(0, 6)
    for data in (kept, streamed):
        with contextlib.closing(data.batches(16, 0, 6, process_index=0, process_count=1)) as batches:
            images = next(batches)['image']
        for image, index, flipped in zip(images, chosen['index'], chosen['flip_horizontal'], strict=True):
            np.testing.assert_array_equal(image, in_order[index][:, ::-1] if flipped else in_order[index])


@pytest.mark.parametrize('fit', FITS)
@pytest.mark.parametrize(('window', 'context'), [('volume', 1), ('dataset', 0), ((100.0, 700.0), 2)])
def test_a_case_is_preprocessed_as_batches_are(data_dir, fit, window, context):
    preprocessing = _preprocessing(fit=fit, window=window, context=context)
    data = _open(data_dir, preprocessing)
    dataset_window = open_split(data_dir / 'volumes' / '1.0.0', 'train').dataset_window
    seen = np.concatenate([preprocess_case(case, preprocessing, dataset_window) for case in data.cases(1)])
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen, _all(data)[..., : data.channels])


@pytest.mark.parametrize('fit', FITS)
def test_masks_stay_with_their_images(tmp_path, fit):
    """Where the image is white there is class 1, whatever the size."""
    masks = [np.zeros((*size, 1), np.uint8) for size in ((16, 10), (9, 16), (13, 13))]
    for mask in masks:
        mask[2:6, 3:9] = 1
    items = [make_item(f'i{n}', [255 * mask], masks=[mask], split='train') for n, mask in enumerate(masks)]
    write(items, tmp_path)
    shown = _all(_open(tmp_path, _preprocessing(fit=fit, mask_classes=1, context=0, window='stored'), 'small'))
    images, ids = split_masks(shown, 1, 1)
    clear = np.abs(images[..., 0]) > 0.75
    np.testing.assert_array_equal((images[..., 0] > 0)[clear], ids[..., 0][clear] == 1)
    assert (ids == 1).any(axis=(1, 2, 3)).all()


def test_neighbours_are_those_that_are_left(tmp_path):
    """Without the slices of another class, the next ones of the volume move up."""
    images = random_images(4, (16, 16, 1), np.uint8)
    items = [
        make_item(f'v/{n:03d}', [image], patient='p', split='train', label='ab'[n == 1])
        for n, image in enumerate(images)
    ]
    write(items, tmp_path)
    shown = _all(_open(tmp_path, _preprocessing(mask_classes=0, window='stored'), 'small', classes=('a',)))
    expected = [2 * image[..., 0].astype(np.float32) / 255 - 1 for image in (images[0], images[2], images[3])]
    for own, around in enumerate(((0, 0, 1), (0, 1, 2), (1, 2, 2))):
        np.testing.assert_allclose(shown[own], np.stack([expected[n] for n in around], axis=-1), atol=1e-6)


def test_native_images_keep_every_pixel():
    image = random_images(1, (9, 6, 2), np.float32)[0]
    image = (image - image.min()) / np.ptp(image)
    fitted = fit_image(image, 16, 'native')
    np.testing.assert_array_equal(fitted[3:12, 5:11], image)
    assert np.count_nonzero(fitted) == np.count_nonzero(image)
    mask = np.ones((9, 6, 1), np.uint8)
    np.testing.assert_array_equal(fit_mask(mask, 16, 'native')[..., 0], np.pad(mask[..., 0], ((3, 4), (5, 5))))
    np.testing.assert_array_equal(restore_size(fitted, 9, 6, 'native'), image)


def test_larger_native_images_are_refused(data_dir):
    with pytest.raises(
        DataError, match=r"an image of 6 x 9 pixels does not fit 8 x 8 as it is; .* use fit='pad'\.$"
    ):
        _open(data_dir, _preprocessing(fit='native', resolution=8)).decoded(8)


def _blob(height, width, row, column):
    rows, columns = np.ogrid[:height, :width]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8).astype(np.float32)


SIZES = [(31, 17), (17, 30), (40, 40), (33, 64), (12, 13)]
FITTED = [
    (fit, size, resolution)
    for fit in FITS
    for size in SIZES
    for resolution in (16, 27, 64)
    if fit != 'native' or max(size) <= resolution
]


@pytest.mark.parametrize(('fit', 'size', 'resolution'), FITTED)
def test_a_landmark_comes_back_to_its_place(fit, size, resolution):
    for row, column in ((size[0] / 3, size[1] / 2), (size[0] / 2, size[1] / 1.6)):
        image = _blob(*size, row, column)
        fitted = fit_image(image[..., None], resolution, fit)
        restored = restore_size(fitted, *size, fit)
        assert restored.shape == (*size, 1)
        assert restored.dtype == np.float32
        before, after = (ndimage.center_of_mass(shown) for shown in (image, restored[..., 0]))
        np.testing.assert_allclose(after, before, atol=0.2)
        mask = (image > 0.3).astype(np.uint8)[..., None]
        fitted = fit_mask(mask, resolution, fit).astype(np.float32)
        marked = restore_size(np.concatenate([1 - fitted, fitted], axis=-1), *size, fit).argmax(axis=-1)
        offset = np.subtract(ndimage.center_of_mass(marked), ndimage.center_of_mass(mask[..., 0]))
        assert np.abs(offset).max() <= 0.5 * max(1, max(size) / resolution)  # half a pixel of the coarser grid


def test_what_was_cropped_cannot_be_restored():
    with pytest.raises(ValueError, match="what fit='crop' cut off"):
        restore_size(np.zeros((8, 8, 1), np.float32), 9, 8, 'crop')


def test_a_case_of_one_image_has_its_key(data_dir):
    record = next(_open(data_dir, _preprocessing()).cases(1)).records[0]
    case = create_case([record])
    assert (len(case.records), case.patient) == (1, pseudonym('p1'))
    assert case.name == record.key.rpartition('/')[0]
