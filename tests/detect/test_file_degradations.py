"""What happens to pictures as files: with the codecs and kernels that they stand for, and to all classes alike."""

import dataclasses
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from detect import file_degradations
from detect.degradations import NO_DEGRADATION
from detect.file_degradations import FileDegradation, add_borders, compress, resample_back, write_text
from input_pipeline.borders import find_content

NONE = FileDegradation(
    every=NO_DEGRADATION, contrast=0.0, brightness=0.0, scaling=0.0, scale=(0.5, 2.0), text=0.0, borders=0.0,
    webp=0.0, flip_horizontal=False, flip_vertical=False, shortest=16, longest=100,
)  # fmt: skip


def _picture(height=40, width=56, dtype=np.uint8, channels=1):
    rough = np.random.default_rng(0).random((height // 4, width // 4, channels)).astype(np.float32)
    smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
    return np.rint(np.clip(smooth, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def _degrade(picture, seed=0, **fields):
    shared = {name: fields.pop(name) for name in list(fields) if name in vars(NO_DEGRADATION)}
    every = dataclasses.replace(NO_DEGRADATION, **shared)
    return dataclasses.replace(NONE, every=every, **fields).apply(picture, np.random.default_rng(seed))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('channels', [1, 3])
def test_without_anything_a_picture_stays_as_it_is(dtype, channels):
    picture = _picture(dtype=dtype, channels=channels)
    np.testing.assert_array_equal(_degrade(picture), picture)


@pytest.mark.parametrize('kind', [('.jpg', 'JPEG'), ('.webp', 'WEBP')])
def test_codecs_are_those_of_other_readers(kind):
    """Written by OpenCV, read by Pillow."""
    picture = _picture()
    flag = {'.jpg': cv2.IMWRITE_JPEG_QUALITY, '.webp': cv2.IMWRITE_WEBP_QUALITY}[kind[0]]
    encoded = cv2.imencode(kind[0], picture, [flag, 40])[1].tobytes()
    with Image.open(io.BytesIO(encoded)) as opened:
        assert opened.format == kind[1]
        expected = np.asarray(opened.convert('L'))
    found = compress(picture, kind[0], 40)
    np.testing.assert_allclose(found[..., 0].astype(int), expected.astype(int), atol=2)
    assert 0 < np.abs(found.astype(int) - picture).max() < 80


def test_deep_pictures_are_compressed_with_8_bits():
    deep = _picture(dtype=np.uint16)
    expected = compress(np.rint(deep / 257).astype(np.uint8), '.jpg', 60)
    np.testing.assert_array_equal(compress(deep, '.jpg', 60), expected.astype(np.uint16) * 257)


def test_blocks_of_jpeg_begin_anywhere():
    """At the lowest quality a block is even, so that steps lie between blocks alone: where its grid begins."""
    picture = _picture(64, 64)
    begins = set()
    for seed in range(12):
        found = _degrade(picture, seed, compression=1.0, quality=(1, 1))[..., 0].astype(int)
        steps = np.abs(np.diff(found, axis=0)).sum(axis=1)
        begins.add(int(np.argmax([steps[start::8].sum() for start in range(8)])))
    assert len(begins) > 3


def test_sizes_stay_within_their_ends_and_kernels_are_all_used(monkeypatch):
    picture, kernels = _picture(), set()
    resize = file_degradations.resize
    monkeypatch.setattr(file_degradations, 'resize', lambda *given: (kernels.add(given[-1]), resize(*given))[1])
    shapes = np.array([_degrade(picture, seed, scaling=1.0).shape[:2] for seed in range(60)])
    assert shapes[:, 0].min() < 25
    assert shapes[:, 0].max() > 65
    assert (shapes.min(), shapes.max()) >= (16, 56)
    assert shapes.max() <= 100
    np.testing.assert_allclose(shapes[:, 1] / shapes[:, 0], 56 / 40, rtol=0.05)
    assert kernels == set(file_degradations.KERNELS)


def test_parts_keep_their_pixels():
    picture = _picture()
    found = _degrade(picture, cutting=1.0, part=(0.5, 0.5))
    assert found.shape == (20, 28, 1)
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], (20, 28))
    assert (windows == found[..., 0]).all(axis=(2, 3)).sum() == 1
    assert _degrade(picture, cutting=1.0, part=(0.1, 0.1)).shape == (16, 16, 1)


def test_turned_and_mirrored_pictures_are_among_the_eight():
    picture = _picture()
    turned = [np.rot90(own, number) for number in range(4) for own in (picture, picture[:, ::-1])]
    found = [_degrade(picture, seed, turning=1.0, flip_horizontal=True) for seed in range(20)]
    seen = {next(n for n, own in enumerate(turned) if np.array_equal(own, one)) for one in found}
    assert seen == {2, 3, 4, 5, 6, 7}  # turned always


def test_borders_are_added_and_cut_off_again():
    picture, random = _picture(), np.random.default_rng(1)
    bordered = add_borders(picture, random)
    assert bordered.shape[0] > 40
    np.testing.assert_array_equal(bordered[find_content(bordered, (16, 16))], picture)
    found = [_degrade(picture, seed, borders=1.0) for seed in range(5)]
    for own in found:
        np.testing.assert_array_equal(own, picture)
    with_waves = _degrade(picture, borders=1.0, compression=1.0, quality=(70, 70))
    assert np.abs(np.array(with_waves.shape[:2]) - picture.shape[:2]).max() <= 8


def test_text_is_bright_or_dark_and_small():
    picture = np.full((100, 100, 1), 120, np.uint8)
    found = [write_text(picture, np.random.default_rng(seed)) for seed in range(8)]
    shares = [(own != picture).mean() for own in found]
    assert 0 < np.mean(shares) < 0.1
    assert {int(value) for own in found for value in (own.min(), own.max())} >= {0, 255}


def test_windows_noise_and_blur_have_their_strengths():
    picture = _picture(64, 64)
    noisy = _degrade(np.full((64, 64, 1), 128, np.uint8), noise=1.0, deviation=(0.1, 0.1))
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.1)  # of a range of 2
    blurred = _degrade(picture, blur=1.0, sigma=(2.0, 2.0))
    expected = cv2.GaussianBlur(picture.astype(np.float64) / 255, (0, 0), 2.0) * 255
    np.testing.assert_allclose(blurred[..., 0], expected, atol=0.6)
    brighter = [_degrade(picture, seed, brightness=0.2).mean() - picture.mean() for seed in range(20)]
    assert -26 < min(brighter) < 0 < max(brighter) < 26


def test_there_and_back_again_loses_what_is_fine():
    noise = np.random.default_rng(0).random((64, 64, 1)).astype(np.float32)
    found = resample_back(noise, 0.5, np.random.default_rng(4))
    assert found.shape == noise.shape
    assert found.std() < 0.95 * noise.std()
