"""Distances of intensity histograms and of power spectra, from images that are streamed and not kept."""

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float64, Int, Shaped

from foundation.statistics.jackknife import (
    POSITIVE,
    SHARE,
    Missing,
    Score,
    check_groups,
    create_estimate,
    find_fault,
    finite_rows,
    leave_out,
)
from input_pipeline import from_unit, to_unit

_LEVELS = 2**16
# Variance of the rounding to 16 bits of values in [-1, 1], added to all power: below it is nothing to compare.
_FLOOR = (2 / (_LEVELS - 1)) ** 2 / 12
Images = Shaped[np.ndarray, 'count height width channel']
Groups = Int[np.ndarray, ' count']


class _Stream:
    """Counts the images of each group, and those that are not finite.

    Args:
      group_count: the same in all sets of a score.

    Raises:
      ValueError: for fewer than two groups.
    """

    def __init__(self, group_count: int) -> None:
        check_groups(np.zeros(0, np.int64), group_count)
        self.sizes = np.zeros(group_count, np.int64)
        self.not_finite = 0

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def _count(self, images: Images, groups: Groups) -> Bool[np.ndarray, ' count']:
        """Which images are finite."""
        check_groups(groups, len(self.sizes))
        finite = finite_rows(images)
        self.not_finite += int((~finite).sum())
        self.sizes += np.bincount(groups, minlength=len(self.sizes))
        return finite


class Histograms(_Stream):
    """How often each of 65,536 intensities occurs in each group and channel.

    Args:
      group_count: the same in all sets of a score.
      channels: of the images.
    """

    def __init__(self, group_count: int, channels: int) -> None:
        super().__init__(group_count)
        self.counts = np.zeros((group_count, channels, _LEVELS), np.int64)

    def add(self, images: Images, groups: Groups) -> None:
        """Adds images, uint8, uint16 or float in [-1, 1] (clipped), each with its group."""
        finite = self._count(images, groups)
        images, groups = images[finite], groups[finite]
        if images.dtype.kind != 'u':
            images = from_unit(images, np.uint16)
        factor = (_LEVELS - 1) // np.iinfo(images.dtype).max
        for group in np.unique(groups):
            for channel, counts in enumerate(self.counts[group]):
                values = images[groups == group, ..., channel].ravel().astype(np.int64) * factor
                counts += np.bincount(values, minlength=_LEVELS)

    def distributions(self) -> Float64[np.ndarray, 'replicate channel level']:
        """Share of the pixels that are at most as bright as each level, of all images and without each group."""
        cumulative = leave_out(self.counts).cumsum(axis=-1)
        return cumulative / cumulative[..., -1:]


class Spectra(_Stream):
    """Mean power of images at each spatial frequency, whatever its direction.

    Each image less its mean, under a Hann window; white noise has its variance as power at every frequency.

    Args:
      group_count: the same in all sets of a score.
      height, width: of the images; frequencies are 1 to half the smaller one, in cycles along it.
    """

    def __init__(self, group_count: int, height: int, width: int) -> None:
        super().__init__(group_count)
        self.size = height, width
        window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
        self._window = (window / np.sqrt(np.square(window).sum()))[:, :, None]
        smaller = min(height, width)
        along = (np.fft.fftfreq(side) * smaller for side in (height, width))
        self._rings = np.rint(np.hypot(*np.meshgrid(*along, indexing='ij'))).astype(np.int64).ravel()
        self._sums = np.zeros((group_count, smaller // 2))

    def add(self, images: Images, groups: Groups) -> None:
        """Adds images, uint8, uint16 or float in [-1, 1], each with its group."""
        finite = self._count(images, groups)
        images, groups = images[finite], groups[finite]
        unit = (to_unit(images) if images.dtype.kind == 'u' else images).astype(np.float64)
        unit -= unit.mean(axis=(1, 2), keepdims=True)
        power = np.square(np.abs(scipy.fft.fft2(unit * self._window, axes=(1, 2)))).mean(axis=-1)
        pixels = np.bincount(self._rings)
        for group in np.unique(groups):
            total = power[groups == group].sum(axis=0).ravel()
            means = np.bincount(self._rings, total) / pixels
            self._sums[group] += means[1 : self._sums.shape[1] + 1]

    def decibels(self) -> Float64[np.ndarray, 'replicate frequency']:
        """10 log10 of the mean power at each frequency, of all images and without each group."""
        return 10 * np.log10(leave_out(self._sums) / leave_out(self.sizes)[:, None] + _FLOOR)


def intensity_distance(generated: Histograms, reference: Histograms) -> Score:
    """Wasserstein-1 distance of the pooled intensities, mean over channels; 0 to 1, in units of their range.

    Raises:
      ValueError: when the sets have different numbers of groups or channels.
    """
    if generated.counts.shape != reference.counts.shape:
        raise ValueError('Generated and reference images have the same numbers of groups and channels.')
    if fault := _find_fault(generated, reference):
        return fault
    gaps = np.abs(generated.distributions() - reference.distributions())
    values = gaps[..., :-1].sum(axis=-1).mean(axis=-1) / (_LEVELS - 1)
    return create_estimate(values, SHARE, generated=len(generated), reference=len(reference))


def spectrum_distance(generated: Spectra, reference: Spectra) -> Score:
    """Root mean square difference of the spectra in decibels, over frequencies; 0 or more, lower is better.

    Raises:
      ValueError: when the sets have different numbers of groups or sizes of images.
    """
    if (generated.size, len(generated.sizes)) != (reference.size, len(reference.sizes)):
        raise ValueError('Generated and reference images have the same size and number of groups.')
    if fault := _find_fault(generated, reference):
        return fault
    values = np.sqrt(np.square(generated.decibels() - reference.decibels()).mean(axis=-1))
    return create_estimate(values, POSITIVE, generated=len(generated), reference=len(reference))


def _find_fault(generated: _Stream, reference: _Stream) -> Missing | None:
    faults = (
        find_fault(name, stream.sizes, stream.not_finite, minimum=1)
        for name, stream in (('generated', generated), ('reference', reference))
    )
    return next((fault for fault in faults if fault is not None), None)
