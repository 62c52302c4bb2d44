"""Scaling, padding and cutting: what is measured in millimetres stays as long as it was."""

import dataclasses

import cv2
import numpy as np
import pytest
import scipy.ndimage

from input_pipeline import DataError, Preprocessing, restore_size
from input_pipeline.placement import AS_STORED, Scale, fit_image, fit_mask, locate, placement, square_scale
from input_pipeline.preprocessing import preprocess_image

SPACINGS = [(5.0, 1.0), (1.0, 5.0), (0.7, 2.5), (3.0, 3.0), (1.0, 1.37)]


def _form(**changes):
    fields = {'resolution': 64, 'channels': 1, 'window': 'stored', 'fit': 'pad', 'mask_classes': 0, 'context': 0}
    return Preprocessing(**fields | {'pixels': 'square'} | changes)


def _disc(spacing, size, centre, radius):
    """The share of each pixel that lies in a disc, all in millimetres, by 8 x 8 points in each."""
    shape = [max(round(side / step), 1) for side, step in zip(size, spacing, strict=True)]
    rows, columns = ((np.arange(8 * n) + 0.5) / 8 * step for n, step in zip(shape, spacing, strict=True))
    inside = (rows[:, None] - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    return inside.reshape(shape[0], 8, shape[1], 8).mean((1, 3)).astype(np.float32)[..., None]


@pytest.mark.parametrize('spacing', SPACINGS)
@pytest.mark.parametrize('fit', ['pad', 'crop'])
def test_a_disc_is_a_disc_of_its_size_at_its_place(spacing, fit):
    """Second moments of a disc along both axes are those of a circle: its radius is twice their root."""
    size, radius = (100.0, 80.0), 24.0
    image = _disc(spacing, size, (54.0, 38.0), radius)
    form = _form(fit=fit)
    height, width = image.shape[:2]
    shown = fit_image(image, 64, fit, form.scale(spacing))[..., 0]
    step = form.spacing_of(height, width, (*spacing, 1.0))
    assert step[0] == pytest.approx(step[1])
    whole = [height * spacing[0], width * spacing[1]]
    assert step[0] == pytest.approx((max if fit == 'pad' else min)(whole) / 64)
    weight = shown / shown.sum()
    for axis, place in ((0, 54.0), (1, 38.0)):
        line, own = weight.sum(1 - axis), np.arange(64) + 0.5
        middle = line @ own
        # Half a pixel where the odd line is below, a quarter since sizes are whole pixels.
        expected = 32 * step[0] + place - whole[axis] / 2
        assert middle * step[0] == pytest.approx(expected, abs=0.75 * step[0])
        # A pixel that was stored is smeared over its own width.
        smeared = max(spacing[axis], step[0])
        deviation = np.sqrt(max(line @ (own - middle) ** 2 * step[0] ** 2 - smeared**2 / 12, 0))
        assert 2 * deviation == pytest.approx(radius, abs=step[0] / 2)


@pytest.mark.parametrize('spacing', SPACINGS)
@pytest.mark.parametrize('fit', ['pad', 'crop'])
def test_masks_lie_where_images_do(spacing, fit):
    image = _disc(spacing, (100.0, 80.0), (54.0, 38.0), 24.0)
    scale = square_scale(spacing)
    shown = fit_image(image, 64, fit, scale)[..., 0]
    mask = fit_mask((image > 0.5).astype(np.uint8), 64, fit, scale)[..., 0]
    assert set(np.unique(mask)) == {0, 1}
    middles = [scipy.ndimage.center_of_mass(one) for one in (shown, mask)]
    np.testing.assert_allclose(*middles, atol=0.5)


def test_a_coarser_axis_is_interpolated_as_by_an_independent_resampler():
    """Rows 5 mm apart become 1 mm: cubic at centres of pixels, as an independent spline of a smooth image."""
    rows = np.sin(np.arange(16) / 3)[:, None] * np.ones((1, 80))
    image = (0.5 + 0.3 * rows).astype(np.float32)
    shown = fit_image(image[..., None], 80, 'pad', square_scale((5.0, 1.0)))[..., 0]
    places = (np.arange(80) + 0.5) / 5 - 0.5
    expected = scipy.ndimage.map_coordinates(image[:, 0], [places], order=3, mode='nearest')
    np.testing.assert_allclose(shown[5:-5, 40], expected[5:-5], atol=0.01)
    np.testing.assert_allclose(shown, np.repeat(shown[:, :1], 80, axis=1), atol=1e-6)


@pytest.mark.parametrize('spacing', [(0.0, 0.0), (1.0, 0.0), (float('nan'), 1.0), (-1.0, 1.0), (2.0, 2.0)])
@pytest.mark.parametrize('fit', ['pad', 'crop', 'resize'])
def test_unknown_and_equal_spacing_leave_pixels_as_they_are(spacing, fit):
    image = np.random.default_rng(0).integers(0, 256, (30, 17, 1)).astype(np.uint8)
    results = [
        preprocess_image(image, (0.0, 255.0), (0.0, 255.0), _form(fit=fit, pixels=pixels), spacing)
        for pixels in ('as_stored', 'square')
    ]
    np.testing.assert_array_equal(*results)


def test_as_stored_and_native_take_no_notice_of_spacing():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    for form in (_form(pixels='as_stored'), _form(fit='native')):
        known, unknown = (
            preprocess_image(image, (0.0, 255.0), (0.0, 255.0), form, spacing) for spacing in ((5, 1), (0, 0))
        )
        np.testing.assert_array_equal(known, unknown)
    assert _form(fit='native').spacing_of(3, 4, (5.0, 1.0)) == (5.0, 1.0)


@pytest.mark.parametrize('fit', ['pad', 'crop'])
def test_pixels_of_a_given_size_have_one_scale_in_all_images(fit):
    for spacing in SPACINGS:
        form = _form(pixels=2.0, fit=fit)
        image = _disc(spacing, (100.0, 80.0), (50.0, 40.0), 24.0)
        shown = fit_image(image, 64, fit, form.scale(spacing))
        assert form.spacing_of(*image.shape[:2], spacing) == pytest.approx((2.0, 2.0))
        assert shown.sum() * 4 == pytest.approx(np.pi * 24**2, rel=0.03)
        np.testing.assert_allclose(scipy.ndimage.center_of_mass(shown[..., 0]), 31.5, atol=0.5)


def test_given_sizes_cut_with_crop_and_are_refused_with_pad():
    image = np.zeros((100, 20, 1), np.float32)
    image[50:] = 1
    scale = _form(pixels=1.0).scale((1.0, 1.0))
    cut = fit_image(image, 64, 'crop', scale)[..., 0]
    assert cut.shape == (64, 64)
    np.testing.assert_array_equal(np.flatnonzero(cut.any(0)), np.arange(22, 42))
    np.testing.assert_array_equal(np.flatnonzero(cut.any(1)), np.arange(32, 64))
    with pytest.raises(DataError, match=r'100 x 20 pixels does not fit 64 x 64 as it is'):
        fit_image(image, 64, 'pad', scale)
    with pytest.raises(DataError, match=r'100 x 20 pixels, 200 x 40 once resampled, .* larger, or use fit=.crop'):
        fit_image(image, 64, 'pad', Scale(2.0, 2.0, is_fixed=True))
    with pytest.raises(DataError, match=r'spacing of its pixels is not known.*pixels=.square'):
        _form(pixels=1.0).scale((0.0, 0.0))
    with pytest.raises(DataError, match=r'would be resampled to 64 x 128000000; is its spacing right'):
        fit_image(image, 64, 'crop', square_scale((1e-5, 100.0)))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'pixels': 'round'}, "pixels='round' is not one of as_stored, square or millimetres"),
        ({'pixels': 0.0}, r'pixel_size=0.0: .* above 0'),
        ({'pixels': float('inf')}, 'pixel_size=inf'),
        ({'pixels': 1.0, 'fit': 'resize'}, "fit='resize' would not leave pixels 1 mm wide; use pad or crop"),
        ({'pixels': 1.0, 'fit': 'native'}, "fit='native' would not"),
    ],
)
def test_what_cannot_be_done_with_pixels_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        _form(**change)


@pytest.mark.parametrize('spacing', SPACINGS)
def test_the_way_back_ends_on_the_pixels_of_the_file(spacing):
    """A disc that is restored covers the pixels that it covered, but for its edge."""
    image = _disc(spacing, (100.0, 80.0), (54.0, 38.0), 24.0)
    height, width = image.shape[:2]
    for form in (_form(), _form(pixels=1.6), _form(pixels='as_stored')):
        scale = form.scale(spacing)
        restored = restore_size(fit_image(image, 64, form.fit, scale), height, width, form.fit, scale)
        assert restored.shape == image.shape
        np.testing.assert_allclose(
            scipy.ndimage.center_of_mass(restored[..., 0]), scipy.ndimage.center_of_mass(image[..., 0]), atol=0.1
        )
        assert np.mean((restored > 0.5) != (image > 0.5)) < 0.03


@pytest.mark.parametrize('fit', ['pad', 'crop', 'resize'])
@pytest.mark.parametrize('scale', [AS_STORED, square_scale((5.0, 1.0)), Scale(1.5, 0.5, is_fixed=True)])
@pytest.mark.parametrize('size', [(9, 40), (41, 12), (13, 13)])
def test_places_are_those_of_the_pixels_that_are_shown(fit, scale, size):
    """A file whose pixels count rows and columns tells where each shown pixel comes from."""
    if fit == 'resize' and scale != AS_STORED:
        scale = dataclasses.replace(scale, is_fixed=False)
    numbers = np.arange(size[0] * size[1]).reshape(*size)
    rows, columns = (
        fit_mask(own.astype(np.uint8)[..., None], 64, fit, scale)[..., 0] for own in divmod(numbers, size[1])
    )
    shown = placement(*size, 64, fit, scale)
    for row in range(shown[0].start, shown[0].stop, 7):
        for column in range(shown[1].start, shown[1].stop, 5):
            assert locate((row, column), *size, 64, fit, scale) == (rows[row, column], columns[row, column])


def test_the_odd_line_of_padding_is_below_and_to_the_right():
    image = fit_image(np.ones((3, 2, 1), np.float32), 6, 'native')[..., 0]
    expected = np.zeros((6, 6))
    expected[1:4, 2:4] = 1
    np.testing.assert_array_equal(image, expected)
    mask = fit_mask(np.full((2, 3, 1), 7, np.uint8), 6, 'native')[..., 0]
    np.testing.assert_array_equal(mask, 7 * expected.T)


def test_crop_takes_the_centre():
    image = np.arange(32, dtype=np.float32).reshape(4, 8, 1) / 31
    np.testing.assert_array_equal(fit_image(image, 4, 'crop'), image[:, 2:6])
    mask = np.arange(32, dtype=np.uint8).reshape(8, 4, 1)
    np.testing.assert_array_equal(fit_mask(mask, 4, 'crop'), mask[2:6])


def test_resize_fills_the_square():
    ramp = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], 16, axis=0)
    result = fit_image(ramp, 8, 'resize')
    np.testing.assert_allclose(
        result, np.repeat(ramp.reshape(16, 8, 8).mean(2)[:8, :, None], 1, axis=-1), atol=1e-6
    )


def test_shrinking_is_the_area_average():
    image = np.random.default_rng(0).random((32, 24, 5), np.float32)
    result = fit_image(image, 8, 'resize')
    np.testing.assert_allclose(result, image.reshape(8, 4, 8, 3, 5).mean((1, 3)), atol=1e-6)


def test_enlarging_is_cubic_and_stays_in_range():
    image = (np.indices((4, 4)).sum(0) % 2).astype(np.float32)[..., None]
    expected = cv2.resize(image, (8, 8), interpolation=cv2.INTER_CUBIC)[..., None]
    assert expected.max() > 1  # it overshoots
    np.testing.assert_allclose(fit_image(image, 8, 'pad'), np.clip(expected, 0, 1), atol=1e-6)


def test_masks_stay_aligned_with_images():
    """On average a disc's centre is where the averaged image has it (corner sampling is 0.4 off)."""
    rows, columns = np.indices((90, 90))
    shifts = []
    for centre in range(30, 60):
        disc = ((rows - centre) ** 2 + (columns - centre) ** 2 < 400).astype(np.uint8)[..., None]
        mask = fit_mask(disc, 16, 'pad')[..., 0].astype(float)
        image = fit_image(disc.astype(np.float32), 16, 'pad')[..., 0]
        axis = np.arange(16)
        shifts.append((axis @ mask).sum() / mask.sum() - (axis @ image).sum() / image.sum())
    assert abs(np.mean(shifts)) < 0.02


def test_extreme_aspect_ratios_keep_one_pixel():
    assert fit_image(np.ones((1, 4000, 1), np.float32), 8, 'pad').sum() == 8
