"""Whether a kind of picture was trained on at all: how far a picture looks from the nearest training image.

No network is asked, since it sees what it was trained on in all that it is shown. A picture is described by its
grey levels, by which of them lie side by side, by its contrast at each octave, and by its layout; none of these
changes when it is mirrored or turned by 90 degrees. The closest real training image and the closest synthetic one,
whole or cut to nine or eight tenths of their sides, say how far it is from what is known.
"""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64

from detect.anomaly.fitted import Fitted
from detect.anomaly.gaussian import shrunk_covariance
from foundation.training.errors import UserError

KINDS_FILE = 'kinds.npz'
_CUTS = (1.0, 0.9, 0.8)  # shares of the sides of training images that are known, too
_HISTOGRAM, _PAIRS, _LAYOUT = 16, 8, 8  # grey levels, those of pairs, fields along a side
_FLOOR = 0.003  # added to contrasts before the logarithm, in units of images
_SMALLEST = 4  # pixels along the side of the last octave
_LARGEST_SIDE = 128  # pixels that are looked at along a side
_AT_A_TIME = 256  # pictures that are compared with all known ones
Images = Float32[np.ndarray, 'image height width channel']
Descriptions = Float64[np.ndarray, 'image feature']


@dataclasses.dataclass(frozen=True, eq=False)
class PictureKinds(Fitted):
    """Descriptions of training images, made comparable.

    Attributes:
      center: mean of real ones.
      whitening: W with W^T W the inverse of the covariance of real ones, shrunk after Ledoit and Wolf.
      real, synthetic: W (d - center) of each description d.
    """

    center: Float64[np.ndarray, ' feature']
    whitening: Float64[np.ndarray, 'feature feature']
    real: Float32[np.ndarray, 'real feature']
    synthetic: Float32[np.ndarray, 'synthetic feature']

    def score(self, images: Images) -> Float64[np.ndarray, 'kind image']:
        """Distances of each image to the nearest real one, and to the nearest synthetic one."""
        white = ((describe_pictures(images) - self.center) @ self.whitening.T).astype(np.float32)
        return np.stack([_find_nearest(white, known) for known in (self.real, self.synthetic)])

    def save(self, path: Path) -> None:
        """Writes one file of arrays."""
        temporary = path.with_suffix('.tmp.npz')
        np.savez(temporary, allow_pickle=False, **self.to_arrays())
        temporary.replace(path)


def read_kinds(workdir: Path) -> PictureKinds | None:
    """What `PictureKinds.save` wrote; None of a detector that was finished before kinds were looked at.

    Raises:
      UserError: when it is damaged.
    """
    path = workdir / KINDS_FILE
    if not path.is_file():
        return None
    try:
        with path.open('rb') as opened, np.load(opened, allow_pickle=False) as file:
            return PictureKinds.from_arrays({name: file[name] for name in file.files})
    except Exception as error:  # zipfile, zlib and numpy share no base class
        raise UserError(f'{path} is damaged ({error}); remove it and run the training command again.') from error


def fit_kinds(real: Images, synthetic: Float32[np.ndarray, 'synthetic height width channel']) -> PictureKinds:
    """Kinds of pictures from training images.

    Raises:
      UserError: when there are fewer than two real images.
    """
    if len(real) < 2:
        raise UserError('Kinds of pictures need at least two real training images; give more.')
    described = [
        np.concatenate([describe_pictures(_cut(images, share)) for share in _CUTS]) for images in (real, synthetic)
    ]
    center = described[0].mean(axis=0)
    covariance = shrunk_covariance(described[0] - center)
    covariance[np.diag_indices(len(covariance))] += 1e-12  # of features that never vary
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    known = [((own - center) @ whitening.T).astype(np.float32) for own in described]
    return PictureKinds(center, whitening, *known)


def _find_nearest(
    white: Float32[np.ndarray, 'image feature'], known: Float32[np.ndarray, 'known feature']
) -> Float64[np.ndarray, ' image']:
    squares = np.square(known).sum(axis=1)
    nearest = [
        (squares - 2 * own @ known.T).min(axis=1) + np.square(own).sum(axis=1)
        for own in (white[start : start + _AT_A_TIME] for start in range(0, len(white), _AT_A_TIME))
    ]
    return np.sqrt(np.maximum(np.concatenate(nearest), 0)).astype(np.float64)


def _cut(images: Images, share: float) -> Images:
    """The middle of images, made as large as they were."""
    side = images.shape[1]
    margin = round(side * (1 - share) / 2)
    if not margin:
        return images
    inner = images[:, margin : side - margin, margin : side - margin]
    return np.stack([cv2.resize(one, (side, side)).reshape(images.shape[1:]) for one in inner])


def describe_pictures(images: Images) -> Descriptions:
    """What kind of picture each is, in numbers that mirroring and quarter turns leave as they are.

    Args:
      images: square, in [-1, 1]; colours are averaged.
    """
    return np.stack([_describe(_reduce(image.mean(axis=-1))) for image in images])


def _reduce(picture: Float[np.ndarray, 'side side']) -> Float32[np.ndarray, 'reduced reduced']:
    side = min(len(picture), _LARGEST_SIDE)
    return cv2.resize(picture.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)


def _describe(picture: Float32[np.ndarray, 'side side']) -> Float64[np.ndarray, ' feature']:
    parts = [_grey_levels(picture), _neighbours(picture), _contrasts(picture), _layout(picture)]
    return np.concatenate(parts).astype(np.float64)


def _to_levels(picture: Float32[np.ndarray, 'side side'], count: int) -> np.ndarray:
    return np.clip((picture + 1) / 2 * count, 0, count - 1).astype(np.int64)


def _grey_levels(picture: Float32[np.ndarray, 'side side']) -> Float64[np.ndarray, ' level']:
    """Roots of their shares, whose distances are Hellinger's."""
    return np.sqrt(np.bincount(_to_levels(picture, _HISTOGRAM).ravel(), minlength=_HISTOGRAM) / picture.size)


def _neighbours(picture: Float32[np.ndarray, 'side side']) -> Float64[np.ndarray, ' pair']:
    """Roots of the shares of pairs of grey levels among pixels side by side, in no order."""
    levels = _to_levels(picture, _PAIRS)
    pairs = [levels[1:] * _PAIRS + levels[:-1], levels[:, 1:] * _PAIRS + levels[:, :-1]]
    counts = np.bincount(np.concatenate([own.ravel() for own in pairs]), minlength=_PAIRS**2)
    shares = counts.reshape(_PAIRS, _PAIRS) / counts.sum()
    return np.sqrt((shares + shares.T)[np.triu_indices(_PAIRS)])


def _contrasts(picture: Float32[np.ndarray, 'side side']) -> Float[np.ndarray, ' contrast']:
    """Logarithms of how pixels side by side differ at each octave: mean, root of squares, median, ninth decile."""
    found: list[float] = []
    while min(picture.shape) >= _SMALLEST:
        steps = [np.abs(np.diff(picture, axis=axis)).ravel() for axis in (0, 1)]
        every = np.concatenate(steps)
        found += [every.mean(), np.sqrt(np.square(every).mean()), *np.quantile(every, (0.5, 0.9))]
        half = len(picture) // 2
        picture = cv2.resize(picture, (half, half), interpolation=cv2.INTER_AREA)
    return np.log(np.array(found) + _FLOOR)


def _layout(picture: Float32[np.ndarray, 'side side']) -> Float[np.ndarray, ' field']:
    """Means and deviations of coarse fields over the eight ways to mirror and turn a picture."""
    fields = cv2.resize(picture, (_LAYOUT, _LAYOUT), interpolation=cv2.INTER_AREA)
    turned = [np.rot90(fields, quarter) for quarter in range(4)]
    every = np.stack([*turned, *(own[:, ::-1] for own in turned)])
    half = _LAYOUT // 2
    own = np.triu_indices(half)  # the others are mirror images of these
    return np.concatenate([every.mean(axis=0)[own], every.std(axis=0)[own]])
