"""What happens to pictures as files, whole and at their own size: other sizes, text, borders, JPEG and WebP.

Real codecs and kernels, on the host, of one picture at a time. None looks at the label, so none can give it away.
`degradations` has those of a compiled step, which keep the size of what is already shrunk.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float32, UInt, UInt8

from detect.degradations import Degradation
from input_pipeline.borders import find_content
from input_pipeline.preprocessing import stored_maximum

KERNELS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4)
_BORDER = (0.01, 0.15)  # of the longer side, of each of the four
_WORDS = ('L', 'R', 'AP PORTABLE', 'SUPINE', '120 kV', 'W 400 L 40', 'IM 12/64', '2019-03-07', 'SE 3')
_TEXT_HEIGHT = (0.02, 0.06)  # of the longer side
_FONT_HEIGHT = 22  # pixels of OpenCV's plain font at scale 1
Picture = UInt[np.ndarray, '_ _ channel']
Shares = Float32[np.ndarray, '_ _ channel']
Ends = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class FileDegradation:
    """How pictures are degraded, each operation with a probability of its own, in this order.

    Attributes:
      every: turns, parts, resampling there and back, blur, noise and compression, see there. Parts stay as large
        as they are.
      contrast: factors around the mean lie from 1 - contrast to 1 + contrast; the window in which it is shown,
      brightness: and what is added, at most, each way, in units of images, whose range is 2.
      scaling, scale: probability of another size; its lowest and highest factor.
      text: probability of burned-in words.
      borders: probability of borders of one grey value, which are then cut off as in use.
      webp: probability of WebP where there is no JPEG, of the same quality.
      flip_horizontal, flip_vertical: whether half of them are mirrored.
      shortest, longest: pixels of the shorter and the longer side that no picture falls below, or rises above.
    """

    every: Degradation
    contrast: float
    brightness: float
    scaling: float
    scale: Ends
    text: float
    borders: float
    webp: float
    flip_horizontal: bool
    flip_vertical: bool
    shortest: int
    longest: int

    def apply(self, picture: Picture, random: np.random.Generator) -> Picture:
        """A picture after what chance decides, in its own type; at least as large as `shortest`, if it was."""
        picture, every = self._move(picture, random), self.every
        shares = picture / np.float32(stored_maximum(picture.dtype))
        shares = self._window(shares, random)
        if self._happens(self.scaling, random):
            shares = self._rescale(shares, random)
        if self._happens(every.resampling, random):
            shares = resample_back(shares, random.uniform(*every.factor), random)
        if self._happens(every.blur, random):
            shares = _each(cv2.GaussianBlur, shares, (0, 0), max(0.01, random.uniform(*every.sigma)))
        if self._happens(every.noise, random):
            spread = random.uniform(*every.deviation) / 2
            shares = shares + np.float32(spread) * random.standard_normal(shares.shape, np.float32)
        levels = np.rint(np.clip(shares, 0, 1) * stored_maximum(picture.dtype)).astype(picture.dtype)
        if self._happens(self.text, random):
            levels = write_text(levels, random)
        bordered = self._happens(self.borders, random)
        levels = add_borders(levels, random) if bordered else levels
        levels = self._compress(levels, random)
        return levels[find_content(levels, (self.shortest, self.shortest))] if bordered else levels

    def _happens(self, probability: float, random: np.random.Generator) -> bool:
        return bool(probability and random.random() < probability)

    def _move(self, picture: Picture, random: np.random.Generator) -> Picture:
        """Mirrored, turned by quarters, and a part of it: no pixel changes."""
        for axis, mirrors in ((1, self.flip_horizontal), (0, self.flip_vertical)):
            if mirrors and random.random() < 0.5:
                picture = np.flip(picture, axis)
        if self._happens(self.every.turning, random):
            picture = np.rot90(picture, random.integers(1, 4))
        if self._happens(self.every.cutting, random):
            part = random.uniform(*self.every.part)
            sizes = [min(side, max(self.shortest, round(part * side))) for side in picture.shape[:2]]
            rows, columns = (
                slice(start := int(random.integers(side - size + 1)), start + size)
                for side, size in zip(picture.shape[:2], sizes, strict=True)
            )
            picture = picture[rows, columns]
        return np.ascontiguousarray(picture)

    def _window(self, shares: Shares, random: np.random.Generator) -> Shares:
        if not (self.contrast or self.brightness):
            return shares
        factor = 1 + random.uniform(-self.contrast, self.contrast)
        moved = (1 - factor) * float(shares.mean()) + random.uniform(-self.brightness, self.brightness) / 2
        return np.clip(np.float32(factor) * shares + np.float32(moved), 0, 1)

    def _rescale(self, shares: Shares, random: np.random.Generator) -> Shares:
        low, high = min(shares.shape[:2]), max(shares.shape[:2])
        factor = max(min(random.uniform(*self.scale), self.longest / high), min(1.0, self.shortest / low))
        height, width = (max(self.shortest, round(side * factor)) for side in shares.shape[:2])
        return resize(shares, height, width, KERNELS[random.integers(len(KERNELS))])

    def _compress(self, levels: Picture, random: np.random.Generator) -> Picture:
        quality = int(random.integers(self.every.quality[0], self.every.quality[1] + 1))
        if self._happens(self.every.compression, random):
            top, left = random.integers(0, 8, 2)  # the grid of its blocks begins anywhere
            shifted = np.pad(levels, [(top, 0), (left, 0), (0, 0)], mode='edge')
            return compress(shifted, '.jpg', quality)[top:, left:]
        if self._happens(self.webp, random):
            return compress(levels, '.webp', quality)
        return levels


def _each(operation: Callable[..., np.ndarray], shares: Shares, *arguments: object, **named: object) -> Shares:
    """With the channel that OpenCV drops where there is one."""
    return operation(shares, *arguments, **named).reshape(*shares.shape[:2], -1)


def resize(shares: Shares, height: int, width: int, kernel: int) -> Shares:
    """Another size by one of OpenCV's kernels."""
    return cv2.resize(shares, (width, height), interpolation=kernel).reshape(height, width, -1)


def resample_back(shares: Shares, factor: float, random: np.random.Generator) -> Shares:
    """Another size in between, and back again, each by a kernel of its own."""
    height, width = shares.shape[:2]
    down, up = (KERNELS[number] for number in random.integers(len(KERNELS), size=2))
    small = resize(shares, max(1, round(height * factor)), max(1, round(width * factor)), down)
    return resize(small, height, width, up)


def write_text(levels: Picture, random: np.random.Generator) -> Picture:
    """One to three words, bright or dark, of any size and place."""
    levels, longest = levels.copy(), max(levels.shape[:2])
    for _ in range(random.integers(1, 4)):
        place = [int(random.integers(side)) for side in levels.shape[1::-1]]
        size = random.uniform(*_TEXT_HEIGHT) * longest / _FONT_HEIGHT
        colour = (float(random.choice([0.0, stored_maximum(levels.dtype)])),) * levels.shape[-1]
        word = str(random.choice(_WORDS))
        cv2.putText(
            levels, word, place, cv2.FONT_HERSHEY_PLAIN, 2 * size, colour, max(1, round(2 * size)), cv2.LINE_AA
        )
    return levels


def add_borders(levels: Picture, random: np.random.Generator) -> Picture:
    """A frame of one value, of four widths; some are letterboxes, of two."""
    widths = np.rint(random.uniform(*_BORDER, 4) * max(levels.shape[:2])).astype(int)
    widths[2:] *= int(random.integers(2))
    value = int(random.choice([0, int(stored_maximum(levels.dtype))]))
    return np.pad(levels, [tuple(widths[:2]), tuple(widths[2:]), (0, 0)], constant_values=value)


def compress(levels: Picture, kind: str, quality: int) -> Picture:
    """What a codec of 8 bits leaves of a picture.

    Args:
      levels: of 8 or 16 bits.
      kind: '.jpg' or '.webp'.
      quality: 1 to 100.
    """
    flag = {'.jpg': cv2.IMWRITE_JPEG_QUALITY, '.webp': cv2.IMWRITE_WEBP_QUALITY}[kind]
    narrow: UInt8[np.ndarray, 'height width channel'] = (
        levels if levels.dtype == np.uint8 else np.rint(levels / 257).astype(np.uint8)
    )
    encoded = cv2.imencode(kind, narrow, [flag, quality])[1]
    read = cv2.IMREAD_GRAYSCALE if levels.shape[-1] == 1 else cv2.IMREAD_COLOR
    read_again = cv2.imdecode(encoded, read)
    assert read_again is not None
    decoded = read_again.reshape(levels.shape)
    return decoded if levels.dtype == np.uint8 else decoded.astype(levels.dtype) * 257
