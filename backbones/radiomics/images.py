"""From an image to its 385 radiomic features: those of the Frechet radiomic distance (Konz et al. 2026).

Konz et al., Medical Image Analysis 2026, arXiv:2412.01496, whose settings these are: images are normalised,
resampled to half of their pixels, and binned by width 5; features are those of the image and of its four wavelet
bands. The paper's Laplacians of Gaussians are left out, as its own program leaves them out of plane images.
"""

from collections.abc import Iterator

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Float32

from backbones.radiomics.intensities import intensity_features
from backbones.radiomics.matrices import count_pairs, find_runs, find_zones, half_neighbourhood, sum_differences
from backbones.radiomics.texture import (
    RUNS,
    ZONES,
    Features,
    extent_features,
    mean_features,
    neighbourhood_features,
    pair_features,
)

_SCALE, _SHIFT, _BIN = 100.0, 300.0, 5.0
_PIXEL = 2.0  # millimetres, where a pixel of the image has 1
# Coiflet 1 (Daubechies 1992), analysis: the low-pass, from which the high-pass follows.
_LOW = np.array(
    [
        -0.01565572813546454, -0.0727326195128539, 0.38486484686420286, 0.8525720202122554, 0.3378976624578092,
        -0.0727326195128539,
    ]
)  # fmt: skip
_HIGH = -((-1.0) ** np.arange(len(_LOW))) * _LOW[::-1]
_DIRECTIONS = half_neighbourhood(2)
_STATISTICS = ('Mean', 'Minimum', 'Maximum')
_COUNTS = ('VoxelNum', 'VolumeNum')
DIAGNOSTICS = tuple(
    f'diagnostics_{image}_{name}'
    for image, names in (
        ('Image-original', _STATISTICS),
        ('Mask-original', _COUNTS),
        ('Image-interpolated', _STATISTICS),
        ('Mask-interpolated', (*_COUNTS, *_STATISTICS)),
    )
    for name in names
)
Grey = Float[np.ndarray, 'height width']


def describe_images(
    images: Float[np.ndarray, 'batch height width channel'], *, diagnostics: bool = False
) -> Float32[np.ndarray, 'batch feature']:
    """The features of each image, in the order of FEATURES; grey values are means of the channels.

    Brightness and contrast of the whole image do not matter, as each is normalised by itself.

    Args:
      images: in [-1, 1].
      diagnostics: whether what frd-score counts as features, too, comes before: DIAGNOSTICS, for grey values of
        0 to 255.
    """
    described = []
    for image in images.mean(axis=-1, dtype=np.float64):
        resampled = _halve(_normalise(image))
        before = _diagnose((image + 1) * 127.5, resampled) if diagnostics else {}
        described.append([*before.values(), *_describe(resampled).values()])
    return np.array(described, np.float32)


def _normalise(grey: Grey) -> Grey:
    deviation = grey.std(ddof=1)
    return _SCALE * (grey - grey.mean()) / deviation if deviation else np.zeros(grey.shape)


def _diagnose(grey: Grey, resampled: Float[np.ndarray, 'rows columns']) -> Features:
    """Facts of the image; frd-score looks at all pixels but the first, as masks must leave something out."""
    before, after = ([float(each.mean()), float(each.min()), float(each.max())] for each in (grey, resampled))
    values = [*before, grey.size - 1, 1, *after, resampled.size, 1, *after]
    return dict(zip(DIAGNOSTICS, values, strict=True))


def _describe(resampled: Grey) -> Features:
    return {
        f'{prefix}{name}': value
        for prefix, band in _bands(resampled)
        for name, value in _describe_band(band).items()
    }


def _halve(image: Grey) -> Float[np.ndarray, 'rows columns']:
    """Pixels of 2 mm where the image has 1 mm, by cubic B-splines; the first lies between two pixels."""
    places = [0.5 * (_PIXEL - 1) + _PIXEL * np.arange(np.ceil(size / _PIXEL)) for size in image.shape]
    return scipy.ndimage.map_coordinates(image, np.meshgrid(*places, indexing='ij'), order=3, mode='mirror')


def _bands(image: Grey) -> Iterator[tuple[str, Grey]]:
    """The image, and the bands of its stationary wavelet transform; L and H along rows, then along columns."""
    yield '', image
    padded = np.pad(image, [(0, size % 2) for size in image.shape], 'wrap')
    for name in ('LH', 'HL', 'HH', 'LL'):
        band = padded
        for axis, letter in zip((1, 0), name, strict=True):
            band = _filter(band, _LOW if letter == 'L' else _HIGH, axis)
        yield f'wavelet-{name}_', band[: image.shape[0], : image.shape[1]]


def _filter(image: Grey, kernel: Float[np.ndarray, ' tap'], axis: int) -> Grey:
    """Periodic convolution."""
    middle = len(kernel) // 2
    return sum(weight * np.roll(image, tap - middle, axis) for tap, weight in enumerate(kernel))


def _describe_band(band: Grey) -> Features:
    binned = np.floor(band / _BIN).astype(np.int64)
    grey, levels = np.unique(binned - binned.min() + 1, return_inverse=True)
    levels, grey = levels.reshape(band.shape), grey.astype(np.float64)
    shares = np.bincount(levels.ravel()) / levels.size
    count, span = len(grey), int(grey[-1])
    features = {
        'firstorder': intensity_features(band.ravel(), shares, _SHIFT, _PIXEL**2),
        'glcm': mean_features(
            [pair_features(count_pairs(levels, count, offset), grey, span) for offset in _DIRECTIONS]
        ),
        'glrlm': mean_features(
            [extent_features(find_runs(levels, offset), grey, levels.size, RUNS) for offset in _DIRECTIONS]
        ),
        'glszm': extent_features(find_zones(levels), grey, levels.size, ZONES),
        'ngtdm': neighbourhood_features(*sum_differences(levels, grey), grey),
    }
    return {f'{kind}_{name}': value for kind, each in features.items() for name, value in each.items()}


FEATURES = tuple(_describe(np.add.outer(np.arange(16.0) ** 2, np.arange(16.0))))
