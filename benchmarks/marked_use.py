"""What a watermark costs those who use the images: radiomic distance, and the Dice of a U-Net.

    python -m benchmarks.marked_use --path=FOLDER --out=runs/marked_use

FOLDER holds an `index.csv` (image, mask, split), as `input_pipeline.prepare --source=paired_folder` reads it. The
images are made grey and square, and written twice: as they are, and with a mark of two grey levels. Two U-Nets of
the same seed are trained, one on each; both are measured on the test images without marks, and the first on those
with marks, too. Distances are those of all held-out images to as many training images, in radiomic features.
Commands that are complete in --out are not run again.
"""

import csv
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from absl import app, flags, logging
from jaxtyping import Float
from PIL import Image

from backbones.radiomics import describe_images
from benchmarks import machine
from foundation.commands import ask_command
from foundation.statistics.jackknife import Missing, Score, difference, tiles
from foundation.statistics.resampling import bootstrap_mean
from foundation.watermark import MarkKey, embed
from gan.evaluation.statistics import Units
from gan.scores.gaussian import Moments, collect_moments, frechet_score

_PATH = flags.DEFINE_string('path', None, 'Folder of images, masks and their index.csv.', required=True)
_OUT = flags.DEFINE_string('out', 'runs/marked_use', 'Folder for images, data sets and runs.')
_SIZE = flags.DEFINE_integer('size', 128, 'Pixels of a side.', 64, 1024)
_STEPS = flags.DEFINE_integer('steps', 1000, 'Of each training.', 1)
_MARGIN = flags.DEFINE_float('margin', 0.02, 'Dice within which nothing is said to have changed.', 0.0)
_BOUND = 2  # grey levels of 8 bits
_GROUPS = 20
_ARMS = ('plain', 'marked')
Features = Float[np.ndarray, 'image feature']


def main(argv: Sequence[str]) -> None:
    """Writes the images, trains and measures what is missing, and prints two tables."""
    del argv
    logging.set_verbosity(logging.WARNING)
    if not (Path(_PATH.value) / 'index.csv').is_file():
        sys.exit(f'Error: --path={_PATH.value} holds no index.csv; name a folder that paired_folder can read.')
    print(machine.describe('marked_use'))
    out = Path(_OUT.value)
    for arm in _ARMS:
        _write_images(out / arm / 'images', is_marked=arm == 'marked')
    print(_tell_distances(out), flush=True)
    _train_and_evaluate(out)
    print(_tell_dice(out))


def _write_images(folder: Path, *, is_marked: bool) -> None:
    """The images of FOLDER with their index, whole or not at all."""
    if (folder / 'index.csv').exists():
        return
    key = MarkKey(hashlib.sha256(b'marked_use').digest())
    source, size = Path(_PATH.value), (_SIZE.value, _SIZE.value)
    rows = [row for row in _read_rows(source / 'index.csv') if row['split'] in ('train', 'val', 'test')]
    for number, row in enumerate(rows):
        image, mask = (_read_grey(source / row[name]) for name in ('image', 'mask'))
        stored = cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., None]
        if is_marked:
            stored = embed(stored, key, 0x1A2B3C4D, bound=_BOUND)
        shares = cv2.resize((mask > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        row.update(image=f'images/{number:05}.png', mask=f'masks/{number:05}.png')
        for name, pixels in ((row['image'], stored), (row['mask'], (shares > 0.5).astype(np.uint8))):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name), pixels)
    with (folder / 'index.csv').open('w', newline='') as file:
        writer = csv.DictWriter(file, ('image', 'mask', 'split'), extrasaction='ignore')
        writer.writeheader()
        writer.writerows(rows)


def _read_grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert('L'))


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def _tell_distances(out: Path) -> str:
    """A table of Frechet radiomic distances, in deviations of the training images."""
    held_out = {arm: _describe(out / arm / 'images', ('val', 'test')) for arm in _ARMS}
    training = _describe(out / 'plain' / 'images', ('train',), len(held_out['plain']))
    units = Units.of(training)

    def collect(features: Features) -> Moments:
        scaled = units.convert(features)
        return collect_moments(scaled, np.arange(len(scaled)) * _GROUPS // len(scaled), _GROUPS)

    reference = collect(training)
    scores = {arm: frechet_score(collect(held_out[arm]), reference) for arm in _ARMS}
    rows = [
        ('held-out images as they are', scores['plain']),
        ('with marks', scores['marked']),
        ('difference', difference(scores['marked'], scores['plain'])),
    ]
    count = f'{len(held_out["plain"])} held-out and {len(training)} training images'
    lines = [f'| {count} | radiomic distance |', '| --- | --- |']
    return '\n'.join([*lines, *(f'| {name} | {_tell(score)} |' for name, score in rows), ''])


def _tell(score: Score) -> str:
    if isinstance(score, Missing):
        return f'none: it {score.reason}'
    low, high = score.interval()
    return f'{score.value:.2f} [{low:.2f}, {high:.2f}]'


def _describe(folder: Path, splits: tuple[str, ...], count: int = sys.maxsize) -> Features:
    """Radiomic features of so many images, evenly spread."""
    names = [row['image'] for row in _read_rows(folder / 'index.csv') if row['split'] in splits]
    chosen = [names[place] for place in np.arange(min(count, len(names))) * len(names) // min(count, len(names))]
    described = []
    for rows in tiles(len(chosen), 64):
        images = np.stack([_read_grey(folder / name) for name in chosen[rows]])
        described.append(describe_images(images[..., None] / 127.5 - 1))
    return np.concatenate(described).astype(np.float64)


def _train_and_evaluate(out: Path) -> None:
    """A data set and a U-Net of each arm, and the Dice of each on the test images."""
    for arm in _ARMS:
        source = ('--source=paired_folder', f'--path={out / arm / "images"}', f'--name={arm}')
        _run(out, out / 'data' / arm, 'input_pipeline.prepare', *source)
        config = ('--config=configs/segment/unet.py:small', f'--config.data.name={arm}', '--config.seed=0')
        size = (f'--config.resolution={_SIZE.value}', f'--config.schedule.steps={_STEPS.value}')
        _run(out, out / arm / 'trained', 'segment.main', *config, *size, f'--workdir={out / arm / "unet"}')
    for arm, data in (('plain', 'plain'), ('plain', 'marked'), ('marked', 'plain')):
        folder = out / f'{arm}_on_{data}'
        asked = (f'--workdir={out / arm / "unet"}', f'--data={data}', f'--out={folder}')
        _run(out, folder, 'segment.evaluate', *asked)


def _run(out: Path, made: Path, module: str, *arguments: str) -> None:
    """Runs a command, unless what it makes, or the note that it was done, is there."""
    if made.exists():
        return
    reason = ask_command(module, *arguments, environment={'TFDS_DATA_DIR': str((out / 'data').absolute())})
    if reason:
        sys.exit(f'Error: {module} failed: {reason}')
    if not made.exists():
        made.touch()


def _tell_dice(out: Path) -> str:
    """A table of mean Dice, and of the differences image by image."""
    first = _read_dice(out / 'plain_on_plain')
    lines = ['| U-Net | on test images | Dice | less the first |', '| --- | --- | --- | --- |']
    for arm, data in (('plain', 'plain'), ('plain', 'marked'), ('marked', 'plain')):
        own = _read_dice(out / f'{arm}_on_{data}')
        if own.keys() != first.keys():
            sys.exit('Error: the test images are not the same; remove --out and begin anew.')
        dice = bootstrap_mean(np.array([[own[case]] for case in own]), resamples=2000, seed=0)
        changes = np.array([[own[case] - first[case]] for case in own])
        change = bootstrap_mean(changes, resamples=2000, seed=0)
        told, changed = f'{dice.value:.3f}', ''
        if (arm, data) != ('plain', 'plain') and change.distribution is not None:
            low, high = change.distribution.interval(0.95)
            is_same = -_MARGIN.value < low and high < _MARGIN.value
            verdict = f'{"within" if is_same else "not shown to be within"} {_MARGIN.value:g}'
            changed = f'{change.value:+.4f} [{low:+.4f}, {high:+.4f}], {verdict}'
        lines.append(f'| trained on {arm} images | {data} | {told} | {changed} |')
    return '\n'.join(lines)


def _read_dice(folder: Path) -> dict[str, float]:
    """Of each test image, by its name, which is the same in both data sets."""
    return {row['case']: float(row['dice']) for row in _read_rows(folder / 'cases.csv')}


if __name__ == '__main__':
    app.run(main)
