"""Finding the mark: an image is whitened at the level's size and correlated with the carrier, whole and as a crop.

**The p value.** An image that was made without the key does not depend on its signs, which are independent fair
coins. For any fixed values v of the chips, t = sum(s v) / |v| then exceeds x with probability at most
exp(-x^2 / 2) (Hoeffding 1963, JASA 58, theorem 2), whatever the image is. Several looks at one image are paid for
by the union bound: twice, for pilots alone and for all chips; 2^32 for the latter, whose payload was chosen; and
once for each level, and for each size and shift of a crop. So p is never too small, and often too large.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float
from scipy import ndimage

from foundation.watermark.carrier import BITS, CHIP, Carrier, MarkKey, create_carrier
from foundation.watermark.code import LENGTH, decode

_SMALLEST_CROP = 0.8  # of the longer side, that is looked for
_SMALLEST_SCALE, _LARGEST_SCALE = 0.5, 2.0  # by which an image may have been resized
_BACKGROUND, _LIVELINESS = 2.5, 2.0  # deviations of Gaussians, in pixels of the level
_LOUDEST = 2.5  # deviations at which pixels are cut off
_QUIETEST = 0.2  # of the usual deviation, below which a pixel is not made louder
_SPECTRUM = 4.0  # deviation of the Gaussian that smooths the power spectrum, in its bins
_WHITENING = 0.65  # power of the power spectrum: 0.5 makes the image white, 1 also weighs by how quiet a band is
_CANDIDATES = 10  # places of a crop at which the payload is read
_SURE = 1e-12  # below which a mark that lies as it was written is not looked for as a crop

Grey = Float[np.ndarray, 'height width']
Spectrum = Complex[np.ndarray, 'side half']


class Finding(NamedTuple):
    """What was found.

    Attributes:
      p_value: bound on the probability that an image without this key's mark looks like this; 1 for nothing.
      level: see `carrier.BITS`.
      payload: None where the level has none.
      bit_error: share of the payload's bits that are expected to be wrong, 0 to 0.5; 0.5 without payload.
      crop: the share of the longer side that was kept, as it was found; 1 for all.
    """

    p_value: float
    level: int
    payload: int | None
    bit_error: float
    crop: float


def detect(image: Float[np.ndarray, 'height width channels'] | Any, key: MarkKey) -> Finding:
    """Looks for the mark of a key.

    Contrast and brightness do not matter. Images may have been resized by 0.5 to 2, and then be cut to 0.8 of
    their longer side or more; not turned or mirrored.

    Args:
      image: grey or colour, in any units.
      key: of the mark.
    """
    return examine(image).find(key)


def examine(image: Float[np.ndarray, 'height width channels'] | Any) -> 'Examined':
    """What all keys have in common, so that many can be tried on one image."""
    return Examined(np.nan_to_num(np.asarray(image, float).mean(axis=2)))


class Examined:
    """An image, whitened at the sizes that it is looked at.

    Args:
      grey: its pixels.
    """

    def __init__(self, grey: Grey) -> None:
        longest = max(grey.shape)
        most = 2 * max(BITS)  # pixels of the longer side that the largest level has any use for
        self._grey = grey if longest <= most else _resize(grey, *_scaled(grey.shape, most))
        self._views: dict[tuple[int, int], _View] = {}
        self._levels = [
            side
            for side in BITS
            if longest >= _SMALLEST_CROP * _SMALLEST_SCALE * side
            and (side == max(BITS) or longest <= _LARGEST_SCALE * 2 * side)
        ]

    def find(self, key: MarkKey) -> Finding:
        """The likeliest mark of a key."""
        found = Finding(1.0, 0, None, 0.5, 1.0)
        for looks in (self.look_as_it_lies, self._look_for_crops):
            for side in self._levels:
                one = looks(create_carrier(key, side))
                paid = min(one.p_value * 2 * len(self._levels), 1.0)
                found = min(found, one._replace(p_value=paid), key=_how_unlikely)
            if found.p_value < _SURE:
                break
        return found

    def look_as_it_lies(self, carrier: Carrier) -> Finding:
        """One look, for an image that was resized at most; nothing is paid for others."""
        chips = self._at(carrier.side, carrier.side).chips((0, 0), carrier)
        return _judge(chips, carrier, 1, 1.0)

    def _look_for_crops(self, carrier: Carrier) -> Finding:
        """All sizes and shifts of a crop by the pilots; those where they correlate best by all chips."""
        signs = _spectrum_of_chips(np.where(carrier.pilots, carrier.signs, 0), carrier.side)
        pilots = _spectrum_of_chips(carrier.pilots.astype(float), carrier.side)
        places, looks = [], 0
        for size in range(math.ceil(_SMALLEST_CROP * carrier.side), carrier.side + 1):
            correlations = self._at(size, carrier.side).correlate(signs, pilots)
            looks += correlations.size
            for shift in np.argsort(correlations, axis=None)[-_CANDIDATES:]:
                down, right = divmod(int(shift), correlations.shape[1])
                places.append((float(correlations[down, right]), size, (down, right)))
        return min(
            (
                _judge(self._at(size, carrier.side).chips(shift, carrier), carrier, looks, size / carrier.side)
                for _, size, shift in sorted(places)[-_CANDIDATES:]
            ),
            key=_how_unlikely,
        )

    def _at(self, size: int, side: int) -> '_View':
        """The image with a longer side of `size` pixels, as it would lie within one of `side`."""
        if (size, side) not in self._views:
            resized = _resize(self._grey, *_scaled(self._grey.shape, size))
            self._views[size, side] = _View(_whiten(resized), side)
        return self._views[size, side]


class _View:
    """A whitened image at one size.

    Args:
      white: the image.
      side: of the level, whose upper left corner it is.
    """

    def __init__(self, white: Grey, side: int) -> None:
        self._side, self.shape = side, white.shape
        padded = np.pad(white, ((0, 1), (0, 1)))
        # The sum of the chip whose upper left pixel is here.
        self._sums = padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]

    @functools.cached_property
    def _spectra(self) -> tuple[Spectrum, Spectrum]:
        """Of the sums and of their squares, conjugated."""
        size = (self._side, self._side)
        sums = self._sums.astype(np.float32)
        return scipy.fft.rfft2(sums, size).conj(), scipy.fft.rfft2(sums**2, size).conj()

    def chips(self, shift: tuple[int, int], carrier: Carrier) -> Float[np.ndarray, 'grid grid']:
        """The sums of all chips, 0 of those that lie outside."""
        whole = np.zeros((self._side, self._side))
        rows, columns = (min(length, self._side - start) for length, start in zip(self.shape, shift, strict=True))
        whole[shift[0] : shift[0] + rows, shift[1] : shift[1] + columns] = self._sums[:rows, :columns]
        return whole[::CHIP, ::CHIP][: len(carrier.signs), : len(carrier.signs)]

    def correlate(self, signs: Spectrum, pilots: Spectrum) -> Float[np.ndarray, 'down right']:
        """t of the pilots at every shift that keeps the image within the level."""
        size = (self._side, self._side)
        down, right = (self._side - length + 1 for length in self.shape)
        sums, squares = self._spectra
        found, energy = (
            scipy.fft.irfft2(one * other, size)[:down, :right] for one, other in ((signs, sums), (pilots, squares))
        )
        # Rounding must not make chips look strong that hardly are: the p value is of the exact sums.
        return found / np.sqrt(np.maximum(energy, 1e-4 * energy.max(initial=0) + 1e-30))


def _spectrum_of_chips(chips: Float[np.ndarray, 'grid grid'], side: int) -> Spectrum:
    spread = np.zeros((side, side), np.float32)
    spread[: CHIP * len(chips) : CHIP, : CHIP * len(chips) : CHIP] = chips
    return scipy.fft.rfft2(spread)


def _judge(chips: Float[np.ndarray, 'grid grid'], carrier: Carrier, looks: int, crop: float) -> Finding:
    """The p value of the chips at the best of so many looks, and the payload."""
    turned = chips * carrier.signs
    pilots = turned[carrier.pilots]
    p_value = _tail(pilots) * looks
    if not BITS[carrier.side]:
        return Finding(min(p_value, 1.0), carrier.side, None, 0.5, crop)
    carrying = ~carrier.pilots
    sums = np.bincount(carrier.places[carrying], turned[carrying], LENGTH)
    # Of Gaussian chips: twice their mean, which the pilots tell, times their sum over their variance.
    ratios = 2 * max(float(pilots.mean()), 0.0) * sums / max(float((turned**2).mean()), 1e-30)
    decoded = decode(ratios)
    both = _tail((chips * carrier.modulate(decoded.payload)).ravel()) * 2.0 ** BITS[carrier.side] * looks
    return Finding(min(2 * min(p_value, both), 1.0), carrier.side, decoded.payload, decoded.bit_error, crop)


def _how_unlikely(finding: Finding) -> tuple[float, float]:
    """Smaller for marks that are surer; among those that nothing speaks for, by what their payload says."""
    return finding.p_value, finding.bit_error


def _tail(agreements: Float[np.ndarray, 'chips']) -> float:
    """Hoeffding's bound on the probability that chips of random signs agree as well."""
    energy = float((agreements**2).sum())
    if not energy or agreements.sum() <= 0:
        return 1.0
    return math.exp(-(float(agreements.sum()) ** 2) / energy / 2)


def _whiten(grey: Grey) -> Grey:
    """The image without what is smooth, as loud everywhere, and with a nearly flat spectrum, as the mark is."""
    detail = grey - ndimage.gaussian_filter(grey, _BACKGROUND)
    power = ndimage.gaussian_filter(detail**2, _LIVELINESS)
    present = power[power > 1e-6 * power.max(initial=0)]
    if not present.size:
        return np.zeros_like(grey)
    even = np.clip(detail / np.sqrt(power + _QUIETEST**2 * np.median(present)), -_LOUDEST, _LOUDEST)
    spectrum = scipy.fft.rfft2(even)
    usual = ndimage.gaussian_filter(np.abs(spectrum) ** 2, _SPECTRUM, mode='wrap')
    return scipy.fft.irfft2(spectrum / (usual + 1e-3 * usual.mean()) ** _WHITENING, grey.shape)


def _scaled(shape: tuple[int, ...], longest: int) -> tuple[int, ...]:
    """Height and width with the longer one so long."""
    return tuple(max(round(side * longest / max(shape)), 4) for side in shape)


def _resize(grey: Grey, height: int, width: int) -> Float[np.ndarray, '_ _']:
    """Cubic (Keys 1981, IEEE Trans. ASSP 29, p. 1153, a = -0.5), over all pixels that a smaller one covers."""
    if grey.shape == (height, width):
        return grey
    return _resizing(grey.shape[0], height) @ grey @ _resizing(grey.shape[1], width).T


@functools.lru_cache(maxsize=256)
def _resizing(before: int, after: int) -> Float[np.ndarray, 'after before']:
    ratio = before / after
    places = (np.arange(after)[:, None] + 0.5) * ratio - 0.5
    away = np.abs(places - np.arange(before)) / max(ratio, 1)
    near, far = 1.5 * away**3 - 2.5 * away**2 + 1, -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
    weights = np.where(away < 1, near, np.where(away < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)
