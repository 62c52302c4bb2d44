"""What scores read of a set of images, gathered in one pass over them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, UInt

import input_pipeline
from backbones.extractors import Extracted
from foundation.statistics.jackknife import FeatureSample, deal_groups

LARGEST_PIXELS = 2048  # images whose pixels are kept
_PIXEL_BYTES = 2**28  # and the memory they may take


class Batch(NamedTuple):
    """Some images of a set.

    Attributes:
      images: in [-1, 1], without mask channels.
      labels: classes; 0 without.
      owners: the number of each image's patient, or of the generated image itself.
    """

    images: Float[np.ndarray, 'batch height width channel']
    labels: Int[np.ndarray, 'batch']
    owners: Int[np.ndarray, 'batch']


@dataclasses.dataclass(frozen=True, eq=False)
class ImageStatistics:
    """A set of images as scores need it.

    Attributes:
      features, probabilities: of the extractor; probabilities of no class where it tells none.
      labels: classes; 0 without.
      owners: patients, or the generated images themselves.
      finite: whether all values of an image were; those that were not are described as if they were 0.
      pixels: some of the images, evenly spread, in stored integers.
      pixel_rows: which ones.
    """

    features: Float32[np.ndarray, 'count feature']
    probabilities: Float32[np.ndarray, 'count class']
    labels: Int[np.ndarray, 'count']
    owners: Int[np.ndarray, 'count']
    finite: Bool[np.ndarray, 'count']
    pixels: UInt[np.ndarray, 'kept height width channel']
    pixel_rows: Int[np.ndarray, 'kept']

    def __len__(self) -> int:
        return len(self.features)

    @property
    def not_finite(self) -> int:
        """Images with a value that is not finite."""
        return int((~self.finite).sum())

    def select(self, chosen: Int[np.ndarray, 'chosen']) -> 'ImageStatistics':
        """The images of these rows, which are in rising order."""
        place = np.full(len(self), -1)
        place[chosen] = np.arange(len(chosen))
        kept = place[self.pixel_rows] >= 0
        return dataclasses.replace(
            self,
            features=self.features[chosen],
            probabilities=self.probabilities[chosen],
            labels=self.labels[chosen],
            owners=self.owners[chosen],
            finite=self.finite[chosen],
            pixels=self.pixels[kept],
            pixel_rows=place[self.pixel_rows[kept]],
        )

    def fewer(self, count: int) -> 'ImageStatistics':
        """So many images, evenly spread; those whose pixels are kept come before others."""
        kept = _spread_over(self.pixel_rows, min(count, len(self.pixel_rows)))
        others = np.setdiff1d(np.arange(len(self)), self.pixel_rows)
        return self.select(np.sort(np.concatenate([kept, _spread_over(others, count - len(kept))])))

    def groups(self, count: int) -> Int[np.ndarray, 'count']:
        """A jackknife group for each image, see `deal_groups`."""
        return deal_groups(self.owners, count)

    def sample(self, values: np.ndarray, group_count: int) -> FeatureSample:
        """Values of all images with their groups."""
        return FeatureSample(values, self.groups(group_count), group_count)

    def pixel_sample(self, group_count: int) -> FeatureSample:
        """The kept images with their groups."""
        return FeatureSample(self.pixels, self.groups(group_count)[self.pixel_rows], group_count)


class Units(NamedTuple):
    """In which features are compared.

    Attributes:
      means, deviations: of features that differ from image to image.
      kept: these features.
    """

    means: Float[np.ndarray, 'kept']
    deviations: Float[np.ndarray, 'kept']
    kept: Int[np.ndarray, 'kept']

    @classmethod
    def of(cls, values: Float64[np.ndarray, 'count feature']) -> 'Units':
        """Deviations of real images (ddof = 0); features that are the same in all of them are left out."""
        deviations = values.std(axis=0)
        kept = np.flatnonzero(np.isfinite(deviations) & (deviations > 1e-9 * np.abs(values).max(axis=0)))
        return cls(values.mean(axis=0)[kept], deviations[kept], kept)

    def convert(self, features: Float[np.ndarray, 'count feature']) -> Float64[np.ndarray, 'count kept']:
        """Features in these units."""
        return (features[:, self.kept] - self.means) / self.deviations


def find_units(reference: ImageStatistics) -> Units:
    """Those of a set of real images."""
    return Units.of(reference.features[reference.finite].astype(np.float64))


def in_units(described: ImageStatistics, units: Units | None) -> ImageStatistics:
    """The images with features in these units; as they are without."""
    if units is None:
        return described
    return dataclasses.replace(described, features=units.convert(described.features).astype(np.float32))


def describe(
    batches: Iterator[Batch],
    count: int,
    extract: Callable[[Float[np.ndarray, 'batch height width channel']], Extracted],
    dtype: np.dtype,
) -> ImageStatistics:
    """Describes images as they would be stored: values are clipped to [-1, 1] and rounded to `dtype`.

    Args:
      batches: of the set.
      count: images in all.
      extract: what the extractor says of images.
      dtype: uint8 or uint16.
    """
    extracted, columns, kept, kept_rows = [], [], [], []
    position = 0
    wanted: np.ndarray | None = None
    for batch in batches:
        finite = np.isfinite(batch.images).all(axis=(1, 2, 3))
        stored = input_pipeline.from_unit(np.where(finite[:, None, None, None], batch.images, 0), dtype)
        if wanted is None:
            wanted = _spread(count, stored[0].nbytes)
        extracted.append(extract(input_pipeline.to_unit(stored)))
        columns.append((batch.labels, batch.owners, finite))
        rows = wanted[(wanted >= position) & (wanted < position + len(stored))]
        kept.append(stored[rows - position])
        kept_rows.append(rows)
        position += len(stored)
    labels, owners, finite = (np.concatenate(column) for column in zip(*columns, strict=True))
    features, probabilities = (np.concatenate(column) for column in zip(*extracted, strict=True))
    return ImageStatistics(
        features.astype(np.float32, copy=False),
        probabilities.astype(np.float32, copy=False),
        labels,
        owners,
        finite,
        np.concatenate(kept),
        np.concatenate(kept_rows),
    )


def _spread_over(rows: Int[np.ndarray, 'count'], wanted: int) -> Int[np.ndarray, 'wanted']:
    """So many of the rows, evenly spread."""
    return rows[np.arange(wanted) * len(rows) // max(wanted, 1)]


def _spread(count: int, image_bytes: int) -> Int[np.ndarray, 'kept']:
    """Rows of the images to keep, evenly spread."""
    return _spread_over(np.arange(count), max(min(count, LARGEST_PIXELS, _PIXEL_BYTES // image_bytes), 1))
