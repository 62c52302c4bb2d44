"""Descriptions of sets: what is kept of images, and groups of whole patients."""

import numpy as np
import pytest

from backbones.extractors import Extracted
from gan.evaluation import statistics as described_module
from gan.evaluation.statistics import Batch, describe
from input_pipeline import from_unit, to_unit
from tests.gan.evaluation.drawn import draw_described

COUNT = 10


def _images():
    return np.random.default_rng(0).uniform(-1.2, 1.2, (COUNT, 4, 4, 2)).astype(np.float32)


def _extract(images):
    assert np.isfinite(images).all()
    return Extracted(images.mean(axis=(1, 2)), images[:, 0, 0])


def _describe(images, batch_size=COUNT, dtype=np.uint8):
    batches = (
        Batch(images[rows], np.arange(COUNT)[rows] % 3, np.arange(COUNT)[rows] // 2)
        for rows in (slice(start, start + batch_size) for start in range(0, COUNT, batch_size))
    )
    return describe(batches, COUNT, _extract, np.dtype(dtype))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_images_are_described_as_they_would_be_stored(monkeypatch, dtype):
    monkeypatch.setattr(described_module, 'LARGEST_PIXELS', 4)
    images = _images()
    stored = from_unit(images, np.dtype(dtype))
    described = _describe(images, dtype=dtype)
    assert described.pixels.dtype == dtype
    assert described.pixel_rows.tolist() == [0, 2, 5, 7]
    np.testing.assert_array_equal(described.pixels, stored[[0, 2, 5, 7]])
    np.testing.assert_allclose(described.features, to_unit(stored).mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(described.probabilities, to_unit(stored)[:, 0, 0], rtol=1e-6)
    assert (described.labels.tolist(), described.owners[-1]) == ([n % 3 for n in range(COUNT)], 4)


def test_batches_change_nothing(monkeypatch):
    monkeypatch.setattr(described_module, 'LARGEST_PIXELS', 7)
    whole = _describe(_images())
    for batch_size in (1, 3):
        parts = _describe(_images(), batch_size)
        for name in ('features', 'probabilities', 'labels', 'owners', 'finite', 'pixels', 'pixel_rows'):
            np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_kept_pixels_are_bounded(monkeypatch):
    monkeypatch.setattr(described_module, '_PIXEL_BYTES', 3 * 4 * 4 * 2 + 1)
    assert len(_describe(_images()).pixels) == 3
    monkeypatch.setattr(described_module, '_PIXEL_BYTES', 1)
    assert len(_describe(_images()).pixels) == 1


def test_images_that_are_not_finite_are_counted_and_spoil_no_other():
    images = _images()
    images[3, 1, 1, 0], images[8] = np.nan, np.inf
    described = _describe(images, batch_size=4)
    assert described.not_finite == 2
    assert np.flatnonzero(~described.finite).tolist() == [3, 8]
    others = [row for row in range(COUNT) if row not in (3, 8)]
    np.testing.assert_array_equal(described.features[others], _describe(_images()).features[others])
    assert described.select(np.arange(3)).not_finite == 0


def test_selected_images_keep_their_pixels(monkeypatch):
    monkeypatch.setattr(described_module, 'LARGEST_PIXELS', 5)
    images, chosen = _images(), np.array([1, 2, 4, 5, 9])
    selected = _describe(images).select(chosen)
    np.testing.assert_array_equal(selected.owners, chosen // 2)
    assert chosen[selected.pixel_rows].tolist() == [2, 4]
    np.testing.assert_array_equal(selected.pixels, from_unit(images, np.dtype(np.uint8))[[2, 4]])


def test_groups_hold_whole_owners_and_are_balanced():
    owners = np.random.default_rng(0).integers(40, size=300) * 7
    groups = draw_described(300, owners=owners).groups(6)
    for owner in np.unique(owners):
        assert len(set(groups[owners == owner])) == 1
    owned = [len(set(owners[groups == group])) for group in range(6)]
    assert sum(owned) == 40
    assert max(owned) - min(owned) <= 1


def test_samples_share_groups():
    described = draw_described(30)
    sample, pixels = described.sample(described.features, 5), described.pixel_sample(5)
    assert sample.group_count == pixels.group_count == 5
    np.testing.assert_array_equal(sample.groups[described.pixel_rows], pixels.groups)


@pytest.mark.parametrize(
    ('count', 'rows', 'kept'), [(2, [0, 5], 2), (4, [0, 2, 5, 7], 4), (6, [0, 1, 2, 5, 6, 7], 4)]
)
def test_fewer_images_are_first_those_with_pixels(monkeypatch, count, rows, kept):
    monkeypatch.setattr(described_module, 'LARGEST_PIXELS', 4)
    described = _describe(_images())
    fewer = described.fewer(count)
    np.testing.assert_array_equal(fewer.features, described.features[rows])
    assert (len(fewer), len(fewer.pixels)) == (count, kept)
    np.testing.assert_array_equal(fewer.pixels, from_unit(_images()[rows], np.dtype(np.uint8))[fewer.pixel_rows])
