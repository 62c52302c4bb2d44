"""The phantom data set: determined by its seed, anatomically sound, lesions where the masks say."""

from typing import Any

import cv2
import numpy as np
import pytest

from input_pipeline.errors import DataError
from input_pipeline.phantom import PhantomOptions, draw, scan, texture, torso_ct
from input_pipeline.phantom.geometry import Grid, Pose, create_grid, ellipse, tube
from input_pipeline.phantom.randomness import Purpose, create_generator

MODALITIES = ('CT', 'MR', 'DX')


def create_options(**changes) -> PhantomOptions:
    values: dict[str, Any] = {
        'count': 12,
        'size': 32,
        'modalities': MODALITIES,
        'seed': 7,
        'images_per_patient': 2,
    }
    return PhantomOptions(**(values | changes))


def load_all(options: PhantomOptions) -> list:
    return [record for item in scan(options) for record in item.load()]


def place_torso(patient_seed: int, size: int) -> tuple[torso_ct.Torso, Grid]:
    """The anatomy that `draw('CT', patient_seed, 0, ...)` uses."""
    patient = create_generator(patient_seed, Purpose.ANATOMY, 0)
    body = torso_ct.create_torso(patient, create_generator(patient_seed, Purpose.SLICE, 0))
    return body, create_grid(size, body.pose, texture.create_warp(patient_seed, 0, size, torso_ct.WARP))


def find(grid: Grid, x: float, y: float, radius: float) -> np.ndarray:
    return (grid.x - x) ** 2 + (grid.y - y) ** 2 < radius**2


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    first, again, other = (load_all(create_options(seed=seed)) for seed in (7, 7, 8))
    for a, b, c in zip(first, again, other, strict=True):
        assert a.key == b.key
        assert a.image.tobytes() == b.image.tobytes()
        assert a.mask.tobytes() == b.mask.tobytes()
        assert a.image.tobytes() != c.image.tobytes()


def test_an_item_does_not_depend_on_what_was_drawn_before_it():
    in_order = {record.key: record.image for record in load_all(create_options())}
    larger = scan(create_options(count=40))
    for item in reversed(scan(create_options())):
        for record in item.load():
            np.testing.assert_array_equal(record.image, in_order[record.key])
    record = next(iter(larger[3].load()))
    np.testing.assert_array_equal(record.image, in_order[record.key])


def test_patients_share_the_images_and_the_classes_evenly():
    options = create_options(count=17, images_per_patient=3)
    items, records = scan(options), load_all(options)
    assert len(records) == 17
    assert [len(list(item.load())) for item in items] == [3] * 5 + [2]
    assert len({record.key for record in records}) == 17
    labels = [item.label for item in items]
    assert sorted(set(labels)) == sorted(f'{m}_{s}' for m in MODALITIES for s in ('healthy', 'lesion'))
    assert {labels.count(label) for label in labels} == {1}
    by_patient = {item.patient: item for item in items}
    for record in records:
        item = by_patient[record.patient]
        assert record.key.startswith(item.key)
        assert record.label == item.label
        assert record.label.startswith(record.modality)


def test_records_are_what_their_items_announce():
    for item in scan(create_options(count=6, images_per_patient=1, size=40)):
        (record,) = item.load()
        assert (record.image.shape, record.image.dtype) == ((40, 40, 1), np.uint16)
        assert (item.dtype, item.channels) == ('uint16', 1)
        assert (record.mask.shape, record.mask.dtype) == ((40, 40, 1), np.uint8)
        assert set(np.unique(record.mask)) == ({0, 1} if record.label.endswith('lesion') else {0})
        assert 100 < record.spacing[0] * 40 < 500  # mm: the field of view of a human body part
        assert record.spacing[0] == record.spacing[1]


def test_stored_values_map_back_to_physical_ones_without_loss():
    for index, item in enumerate(scan(create_options(count=6, images_per_patient=1, seed=3))):
        (record,) = item.load()
        low, high = record.intensity
        restored = low + (high - low) * record.image[:, :, 0].astype(np.float64) / 65535
        physical, mask = draw(
            record.modality, (3 << 64) + index, 0, size=32, lesion=record.label.endswith('lesion')
        )
        np.testing.assert_array_equal(np.rint(restored), physical)
        np.testing.assert_allclose(restored, physical, atol=0.04)
        np.testing.assert_array_equal(record.mask[:, :, 0], mask)
        np.testing.assert_allclose(record.window, np.percentile(physical, [0.5, 99.5]), rtol=1e-5)


@pytest.mark.parametrize('modality', MODALITIES)
@pytest.mark.parametrize('size', [8, 13, 64, 129])
def test_any_size_shows_the_same_anatomy_and_a_mask(modality: str, size: int):
    reference, reference_mask = draw(modality, 5, 0, 256, lesion=True)
    image, mask = draw(modality, 5, 0, size, lesion=True)
    assert image.shape == mask.shape == (size, size)
    assert image.dtype == np.float32
    assert mask.any()
    resized = cv2.resize(reference, (size, size), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(image.ravel(), resized.ravel())[0, 1] > 0.97
    assert mask.mean() == pytest.approx(reference_mask.mean(), rel=0.25, abs=1.6 / size**2)


def test_the_largest_size_can_be_drawn():
    image, mask = draw('MR', 0, 0, 1024, lesion=True)
    assert image.shape == (1024, 1024)
    assert 0.002 < mask.mean() < 0.1


@pytest.mark.parametrize(('modality', 'low', 'high'), [('CT', -1024, 3071), ('MR', 0, 4095), ('DX', 0, 255)])
def test_values_are_whole_units_and_use_their_range(modality: str, low: int, high: int):
    images = np.stack([draw(modality, seed, 0, 64, lesion=True)[0] for seed in range(12)])
    np.testing.assert_array_equal(images, np.rint(images))
    assert low <= images.min() < low + 0.05 * (high - low)
    assert low + 0.4 * (high - low) < images.max() <= high
    assert len(np.unique(images)) > 200


def test_hounsfield_units_of_tissues_at_known_places():
    chests = abdomens = 0
    for seed in range(24):
        hu, _ = draw('CT', seed, 0, 256, lesion=False)
        body, grid = place_torso(seed, 256)
        assert -1010 < hu[:12, :12].mean() < -990
        spine = body.spine[1]
        assert np.percentile(hu[find(grid, 0, spine, 0.14)], 95) > 300  # cortex
        assert 100 < np.median(hu[find(grid, 0, spine, 0.05)]) < 300  # marrow
        assert 0 < np.median(hu[find(grid, 0, spine + 0.128, 0.02)]) < 80  # spinal cord
        if body.chest and not body.dome:
            chests += 1
            lung = np.concatenate([hu[find(grid, side * 0.5, 0.05, 0.07)] for side in (-1, 1)])
            assert -920 < np.percentile(lung, 25) < -780
        elif not body.chest:
            abdomens += 1
            assert 30 < np.median(hu[find(grid, -0.45, 0.0, 0.06)]) < 180  # liver
    assert chests >= 8
    assert abdomens >= 4


def test_left_and_right_are_not_the_same():
    """Images are seen as radiologists see them: the patient's left, with the heart, at the right."""
    thorax = np.mean([draw('DX', seed, 0, 64, lesion=False)[0] for seed in range(16)], axis=0)
    assert thorax[36:44, 36:48].mean() > thorax[36:44, 16:28].mean() + 10
    abdomens = [seed for seed in range(40) if not place_torso(seed, 8)[0].chest]
    soft = np.mean([draw('CT', seed, 0, 64, lesion=False)[0] > 20 for seed in abdomens], axis=0)
    assert soft[24:36, 12:24].mean() > soft[24:36, 40:52].mean() + 0.2  # the liver


@pytest.mark.parametrize('modality', MODALITIES)
@pytest.mark.parametrize('size', [64, 256])
def test_masks_cover_lesions_that_can_be_seen(modality: str, size: int):
    width = 2 * round(size * 0.06) + 1
    for seed in range(100, 108):
        image, mask = draw(modality, seed, 0, size, lesion=True)
        inside = mask > 0
        ring = (cv2.dilate(mask, np.ones((width, width), np.uint8)) > 0) & ~inside
        contrast = image[inside].mean() - image[ring].mean()
        # Immerkaer (1996): the Laplacian removes structure; what is left of the ring's anatomy only adds.
        laplacian = cv2.Laplacian(image, cv2.CV_32F)[ring]
        noise = np.median(np.abs(laplacian)) / 0.6745 / np.sqrt(20)
        assert abs(contrast) > 1.2 * noise, seed
        if modality != 'CT':  # nodules are brighter, liver metastases darker than what is around them
            assert contrast > 0, seed


@pytest.mark.parametrize('modality', MODALITIES)
def test_a_lesion_changes_the_image_where_its_mask_is_and_little_elsewhere(modality: str):
    for seed in range(8):
        diseased, mask = draw(modality, seed, 0, 64, lesion=True)
        healthy, empty = draw(modality, seed, 0, 64, lesion=False)
        change = np.abs(diseased - healthy)
        assert not empty.any()
        assert change[mask > 0].mean() > 5 * change[mask == 0].mean(), seed
        assert 0.001 < mask.mean() < 0.08


@pytest.mark.parametrize('modality', MODALITIES)
def test_slices_of_a_patient_resemble_each_other_more_than_other_patients(modality: str):
    images = np.stack(
        [draw(modality, seed, number, 32, lesion=False)[0].ravel() for seed in range(12) for number in (0, 1)]
    )
    images -= images.mean(axis=0)  # what all patients have in common
    correlation = np.corrcoef(images)
    same = correlation[np.arange(0, 24, 2), np.arange(1, 24, 2)]
    patients = np.arange(24) // 2
    other = correlation[patients[:, None] != patients[None, :]]
    assert np.median(same) > np.percentile(other, 90)
    assert same.max() < 0.999
    assert other.max() < 0.97


def test_modalities_differ_more_than_patients():
    """A nearest class mean tells the modalities apart: each is recognisable at 32 x 32."""
    drawn = {m: np.stack([draw(m, s, 0, 32, lesion=False)[0].ravel() for s in range(12)]) for m in MODALITIES}
    scaled = {m: (a - a.mean(1, keepdims=True)) / a.std(1, keepdims=True) for m, a in drawn.items()}
    means = np.stack([scaled[m][:6].mean(axis=0) for m in MODALITIES])
    for index, modality in enumerate(MODALITIES):
        distances = ((scaled[modality][6:, None] - means[None]) ** 2).sum(axis=2)
        assert (distances.argmin(axis=1) == index).all()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'count': 0}, 'count is 0'),
        ({'size': 7}, '8 to 1024'),
        ({'size': 1025}, '8 to 1024'),
        ({'modalities': ()}, 'CT, MR, DX'),
        ({'modalities': ('CT', 'US')}, 'CT, MR, DX'),
        ({'modalities': ('CT', 'CT')}, 'each once'),
        ({'seed': -1}, 'seed is -1'),
        ({'images_per_patient': 0}, 'images_per_patient is 0'),
    ],
)
def test_options_out_of_range_are_refused(changes: dict, message: str):
    with pytest.raises(DataError, match=message):
        create_options(**changes)


def test_an_unknown_modality_is_refused():
    with pytest.raises(DataError, match='CT, MR, DX'):
        draw('US', 0, 0, 32, lesion=False)


def still_grid(size: int, pose: Pose) -> Grid:
    flat = np.zeros((size, size), np.float32)
    return create_grid(size, pose, (flat, flat))


def test_locate_and_window_invert_the_grid():
    grid = still_grid(64, Pose(0.9, 0.3, (0.1, -0.05)))
    rows, columns = np.array([5, 20, 40]), np.array([50, 33, 9])
    points = np.stack([grid.x[rows, columns], grid.y[rows, columns]], axis=1)
    np.testing.assert_allclose(grid.locate(points), np.stack([columns, rows], axis=1), atol=1e-3)
    window = np.zeros((64, 64), bool)
    window[grid.window((0.2, 0.3), 0.25)] = True
    assert not (find(grid, 0.2, 0.3, 0.25) & ~window).any()
    assert window.sum() < 64 * 64 / 4


def test_distances_of_a_circle_and_a_straight_tube_are_exact():
    grid = still_grid(32, Pose(1.0, 0.0, (0.0, 0.0)))
    circle = ellipse(grid.x, grid.y, (0.1, 0.2), (0.5, 0.5))
    np.testing.assert_allclose(circle, np.hypot(grid.x - 0.1, grid.y - 0.2) - 0.5, atol=1e-4)
    level = tube(grid.x, grid.y, [(-2.0, 0.1), (2.0, 0.1)], [0.2, 0.2])
    np.testing.assert_allclose(level, np.abs(grid.y - 0.1) - 0.2, atol=1e-5)


def test_noise_has_the_deviation_it_names():
    flat = np.full((256, 256), 1000, np.float32)
    rng = np.random.default_rng(0)
    assert texture.add_gaussian_noise(rng, flat, 18.0).std() == pytest.approx(18, rel=0.05)
    assert texture.add_rician_noise(rng, flat, 20.0).std() == pytest.approx(20, rel=0.05)
    background = texture.add_rician_noise(rng, 0 * flat, 20.0).mean()
    assert background == pytest.approx(20 * np.sqrt(np.pi / 2), rel=0.02)  # Rayleigh
    measured = texture.add_poisson_noise(rng, 0 * flat + 2, 6000.0)
    assert measured.std() == pytest.approx(1 / np.sqrt(6000 * np.exp(-2)), rel=0.05)
