"""What a detector says of pictures of a kind that it was not trained on, as a Markdown table.

    python -m benchmarks.unknown_kinds --workdir=runs/detector --medical=FOLDER --count=100

Noise, drawings, photographs (crops of those that scikit-image and scikit-learn ship), screenshots with a picture
of --medical inside, and blank pictures are drawn, saved as PNG, and judged as `detect.predict` does; so are the
pictures of --medical themselves, for comparison. All should be "don't know" but the last.
"""

import collections
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import skimage.io
import skimage.util
import sklearn.datasets
from absl import app, flags, logging
from jaxtyping import UInt8

from benchmarks import machine
from detect.judge import Judge, open_judge
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import PIXEL_LIMIT, reader_options

_WORKDIR = flags.DEFINE_string('workdir', None, 'Of a finished detector.', required=True)
_MEDICAL = flags.DEFINE_string('medical', None, 'Folder of real pictures, of a kind that it knows.', required=True)
_COUNT = flags.DEFINE_integer('count', 100, 'Pictures of each kind.', 1)
_ERROR_LEVEL = flags.DEFINE_float('error_level', 0.05, 'As of detect.predict.')
_SIDES = (128, 1024)  # pixels, from and to
_PHOTOGRAPHS = ('astronaut', 'brick', 'camera', 'chelsea', 'coffee', 'coins', 'grass', 'gravel', 'rocket')
Picture = UInt8[np.ndarray, 'height width'] | UInt8[np.ndarray, 'height width 3']
Draw = Callable[[np.random.Generator], Picture]


def draw_noise(random: np.random.Generator) -> Picture:
    """Of one of four kinds: uniform, Gaussian, smooth, or one of two values."""
    shape, kind = _draw_shape(random), random.integers(4)
    if kind == 0:
        return random.integers(0, 256, shape, np.uint8)
    noise: np.ndarray = random.standard_normal(shape).astype(np.float32)
    if kind == 2:
        noise = cv2.GaussianBlur(noise, (0, 0), random.uniform(1, shape[0] / 16))
    if kind == 3:
        return np.where(noise > 0, 255, 0).astype(np.uint8)
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


def draw_shapes(random: np.random.Generator) -> Picture:
    """Lines, discs, boxes and words in colours, on one colour."""
    height, width = _draw_shape(random)
    canvas = np.full((height, width, 3), random.integers(0, 256, 3), np.uint8)
    for _ in range(random.integers(5, 40)):
        colour = tuple(map(int, random.integers(0, 256, 3)))
        (x, other_x), (y, other_y) = random.integers(0, width, 2).tolist(), random.integers(0, height, 2).tolist()
        thick = int(random.integers(1, 8))
        kind = random.integers(4)
        if kind == 0:
            cv2.line(canvas, (x, y), (other_x, other_y), colour, thick)
        elif kind == 1:
            cv2.circle(
                canvas, (x, y), int(random.integers(3, width // 4)), colour, int(random.choice([-1, thick]))
            )
        elif kind == 2:
            cv2.rectangle(canvas, (x, y), (other_x, other_y), colour, int(random.choice([-1, thick])))
        else:
            cv2.putText(canvas, 'Drawing', (x, y), cv2.FONT_HERSHEY_SIMPLEX, width / 300, colour, thick)
    return canvas


def make_draw_photograph() -> Draw:
    """Returns a crop of a photograph, at random, mirrored at times."""
    photographs = [getattr(skimage.data, name)() for name in _PHOTOGRAPHS]
    photographs += sklearn.datasets.load_sample_images().images

    def draw(random: np.random.Generator) -> Picture:
        whole = photographs[random.integers(len(photographs))]
        side = int(random.integers(_SIDES[0], min(whole.shape[:2]) + 1))
        top, left = (int(random.integers(0, length - side + 1)) for length in whole.shape[:2])
        crop = whole[top : top + side, left : left + side]
        return np.ascontiguousarray(crop[:, ::-1] if random.integers(2) else crop)

    return draw


def make_draw_screenshot(medical: Sequence[Path]) -> Draw:
    """Returns a window with a title, menus, a list and lines of text, and a medical picture somewhere in it."""

    def draw(random: np.random.Generator) -> Picture:
        height, width = int(random.integers(480, 1080)), int(random.integers(640, 1920))
        light = bool(random.integers(2))
        ground, ink = ((235, 20), (30, 220))[int(not light)]
        canvas = np.full((height, width), ground, np.uint8)
        canvas[:30], canvas[30:60] = ground - 25 if light else ground + 40, ground - 10 if light else ground + 20
        canvas[60:, : width // 5] = ground - 15 if light else ground + 15
        for row in range(20, height, int(random.integers(18, 40))):
            text = ''.join(random.choice(list('abcdefghij klmnop 0123456789'), int(random.integers(5, 40))))
            cv2.putText(canvas, text, (8, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, 1)
        picture = skimage.io.imread(medical[int(random.integers(len(medical)))], as_gray=True)
        side = int(random.uniform(0.3, 0.9) * min(height - 60, width - width // 5))
        top, left = int(random.integers(60, height - side)), int(random.integers(width // 5, width - side))
        canvas[top : top + side, left : left + side] = cv2.resize(skimage.util.img_as_ubyte(picture), (side, side))
        return canvas

    return draw


def draw_blank(random: np.random.Generator) -> Picture:
    """One grey value, with a little noise, a word, or a few bright pixels."""
    height, width = _draw_shape(random)
    canvas, kind = np.full((height, width), random.integers(0, 256), np.uint8), random.integers(3)
    if kind == 0:
        canvas = np.clip(canvas + random.integers(-2, 3, canvas.shape), 0, 255).astype(np.uint8)
    elif kind == 1:
        cv2.putText(canvas, 'L', (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, 255 - int(canvas[0, 0]), 1)
    else:
        canvas[random.integers(0, height, 5), random.integers(0, width, 5)] = 255 - canvas[0, 0]
    return canvas


def _draw_shape(random: np.random.Generator) -> tuple[int, int]:
    height, width = (int(side) for side in random.integers(*_SIDES, 2))
    return height, width


def main(_: Sequence[str]) -> None:
    """Draws, judges, and prints a row for each kind."""
    logging.set_verbosity(logging.WARNING)
    medical = sorted(path for path in Path(_MEDICAL.value).rglob('*') if path.is_file())
    judge = open_judge(Path(_WORKDIR.value), error_level=_ERROR_LEVEL.value, prevalence=None, batch_size=1)
    kinds: dict[str, Draw] = {
        'noise': draw_noise,
        'drawings': draw_shapes,
        'photographs': make_draw_photograph(),
        'screenshots': make_draw_screenshot(medical),
        'blank': draw_blank,
    }
    print(machine.describe('unknown_kinds'))
    print("\n| kind | pictures | don't know | real | synthetic | refused |\n| --- | --- | --- | --- | --- | --- |")
    random = np.random.default_rng(0)
    for kind, draw in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            for number in range(_COUNT.value):
                cv2.imwrite(f'{folder}/{number:04d}.png', draw(random))
            _print_row(kind, judge, [Path(folder)])
    chosen = random.choice(len(medical), min(_COUNT.value, len(medical)), replace=False)
    _print_row('medical', judge, [medical[number] for number in chosen])


def _print_row(kind: str, judge: Judge, paths: Sequence[Path]) -> None:
    refusals = Refusals(skip=True)
    found = find_incoming(paths, reader_options(2, PIXEL_LIMIT), refusals)
    counts = collections.Counter(judge.judge(incoming.load()).answer for incoming in found)
    told = [counts["don't know"], counts['real'], counts['synthetic'], len(refusals.reasons)]
    print(f'| {kind} | {len(found)} | {" | ".join(map(str, told))} |', flush=True)


if __name__ == '__main__':
    app.run(main)
