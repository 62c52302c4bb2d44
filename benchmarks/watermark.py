"""What a watermark survives, and how often one is found where there is none.

    python -m benchmarks.watermark
    python -m benchmarks.watermark --trials=100000

The first prints a table: the share of marked images in which the mark was found at p < 1e-6, and the share of the
payload's bits that were read wrong, by kind of image, size and attack. Drawn CT keeps Hounsfield units in 16 bits,
is marked by 4 HU and attacked as an 8-bit picture in a window of 400 HU; the others have 8 bits and are marked by
2 levels.

The second looks for marks in images without one, of 64x64: half of them of MedNIST, half drawn. Each is tried with
50 keys, and each key is a trial. It tells how often p was below some levels, for all looks together and for the
first look alone.
"""

import collections
import glob
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks import machine
from foundation.export.dicom import DicomEncoder
from foundation.export.origin import Data, Model, Origin, ValueForm
from foundation.watermark import BITS, Finding, MarkKey, create_carrier, embed, examine
from gan.watermark import largest_change, read_mark
from input_pipeline.phantom import MODALITIES, draw, store

_IMAGES = flags.DEFINE_integer('images', 10, 'Of each kind and size.', 1)
_SIZES = flags.DEFINE_multi_integer('size', [64, 128, 256, 512], 'Pixels of a side.', 64, 1024)
_TRIALS = flags.DEFINE_integer('trials', 0, 'Unmarked images and keys; 0 for the table.', 0)
_FOUND = 1e-6
_KEYS = 50  # with which an unmarked image is tried
_LEVELS = (1e-2, 1e-3, 1e-4, 1e-6)
_WINDOW = (-160.0, 240.0)  # Hounsfield units of soft tissue
Grey = np.ndarray


class Kind(NamedTuple):
    """Images of one kind: stored values, what they mean, and the 8-bit picture that is attacked."""

    form: ValueForm
    draw: Callable[[int, int], Grey]
    show: Callable[[Grey], Grey]


def main(argv: Sequence[str]) -> None:
    """Prints one of the tables."""
    del argv
    print(machine.describe('watermark'))
    if _TRIALS.value:
        _count_false_alarms(_TRIALS.value)
    else:
        _measure_survival()


def _measure_survival() -> None:
    attacks = ['DICOM', *_create_attacks(np.random.default_rng(0))]
    print(f'| images | size | {" | ".join(attacks)} |\n| --- | ---: |{" ---: |" * len(attacks)}', flush=True)
    for name, kind in _list_kinds().items():
        for size in _SIZES.value:
            found = _attack(kind, size)
            cells = [
                f'{np.mean([one.p_value < _FOUND for one, _ in found[attack]]):.2f}'
                + (f', {np.mean([wrong for _, wrong in found[attack]]):.3f}' if size >= 128 else '')
                for attack in attacks
            ]
            print(f'| {name} | {size} | {" | ".join(cells)} |', flush=True)


def _attack(kind: Kind, size: int) -> dict[str, list[tuple[Finding, float]]]:
    """What was found of each image after each attack, and the share of wrong bits."""
    results = collections.defaultdict(list)
    for number in range(_IMAGES.value):
        key, payload = _create_key(number), int(_create_key(number).name[:8], 16)
        stored = kind.draw(number, size)
        marked = embed(stored, key, payload, bound=largest_change(kind.form))
        results['DICOM'].append(_read_again(marked, kind.form, key, payload))
        for name, attack in _create_attacks(np.random.default_rng(number)).items():
            results[name].append(_judge(examine(attack(kind.show(marked))[..., None]).find(key), payload))
    return results


def _judge(finding: Finding, payload: int) -> tuple[Finding, float]:
    return finding, 0.5 if finding.payload is None else (finding.payload ^ payload).bit_count() / 32


def _read_again(marked: Grey, form: ValueForm, key: MarkKey, payload: int) -> tuple[Finding, float]:
    model = Model('ab' * 32, '', step=0, images_seen=0, alpha=1.0, resolution=len(marked))
    data = Data('drawn', '', split='train', images=1, patients=1, licence='', patients_known=True)
    ending, content = DicomEncoder(Origin(model, data, form, seed=0, version='')).image(marked, '', 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f'image{ending}')
        path.write_bytes(content)
        return _judge(read_mark(path, key), payload)


def _create_attacks(random: np.random.Generator) -> dict[str, Callable[[Grey], Grey]]:
    """Of 8-bit pictures, by name; the noise has a deviation of 4 grey levels."""

    def crop(image: Grey) -> Grey:
        side = round(0.9 * len(image))
        top, left = random.integers(0, len(image) - side + 1, 2)
        return image[top : top + side, left : left + side]

    return {
        'window': lambda image: _to_bytes(1.3 * image.astype(float) - 20),
        'JPEG 75': _compress,
        'x 0.5': lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        'x 2': lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR),
        'crop': crop,
        'noise': lambda image: _to_bytes(image + random.normal(0, 4, image.shape)),
    }


def _compress(image: Grey) -> Grey:
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'jpeg', quality=75)
    return np.asarray(Image.open(file))


def _to_bytes(values: Grey) -> Grey:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _list_kinds() -> dict[str, Kind]:
    """Drawn images of three modalities; real brain MRI where it is."""
    kinds = {}
    for modality in ('CT', 'MR', 'DX'):
        is_ct = modality == 'CT'
        form = ValueForm(
            channels=1,
            classes=(),
            mask_classes=0,
            dtype='uint16' if is_ct else 'uint8',
            intensity=MODALITIES[modality].intensity if is_ct else None,
            lowest=None,
            modality=modality,
            spacing=(0.8, 0.8),
        )
        kinds[f'drawn {modality}'] = Kind(form, _drawer(modality), _show_ct if is_ct else _show_picture)
    files = sorted(glob.glob(f'{os.environ.get("MEDICAL_DATA_DIR", "")}/brain_tumor_mri/images/*.jpg'))
    if files:

        def read(number: int, size: int) -> Grey:
            image = _read_grey(files[number * len(files) // _IMAGES.value])
            return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)[..., None]

        kinds['real MR'] = Kind(kinds['drawn MR'].form, read, _show_picture)
    return kinds


def _drawer(modality: str) -> Callable[[int, int], Grey]:
    def draw_one(number: int, size: int) -> Grey:
        image, _ = draw(modality, 1000 + number, 0, size, bool(number % 2))
        if modality == 'CT':
            return store(image, MODALITIES['CT'].intensity)[..., None]
        return _to_bytes(255 * image / np.percentile(image, 99.8))[..., None]

    return draw_one


def _read_grey(path: str) -> Grey:
    with Image.open(path) as image:
        return np.asarray(image.convert('L'))


def _show_picture(stored: Grey) -> Grey:
    return stored[..., 0]


def _show_ct(stored: Grey) -> Grey:
    low, high = MODALITIES['CT'].intensity
    values = low + (high - low) * (stored[..., 0] / 65535)
    return _to_bytes(255 * (values - _WINDOW[0]) / (_WINDOW[1] - _WINDOW[0]))


def _create_key(number: int) -> MarkKey:
    return MarkKey(hashlib.sha256(f'benchmark {number}'.encode()).digest())


def _count_false_alarms(trials: int) -> None:
    smallest = {'all looks': np.ones(trials), 'the first look': np.ones(trials)}
    for trial in range(trials):
        if trial % _KEYS == 0:
            examined = examine(_draw_unmarked(trial // _KEYS, -(-trials // _KEYS)))
        key = _create_key(10**6 + trial)
        smallest['all looks'][trial] = examined.find(key).p_value
        smallest['the first look'][trial] = examined.look_as_it_lies(create_carrier(key, min(BITS))).p_value
        if trial % 10_000 == 9_999:
            print(
                f'{trial + 1} of {trials}, smallest p {smallest["all looks"][: trial + 1].min():.2g}', flush=True
            )
    print(f'| {trials:,} trials | smallest p | {" | ".join(f"p < {level:g}" for level in _LEVELS)} |')
    print(f'| --- | ---: |{" ---: |" * len(_LEVELS)}')
    for name, values in smallest.items():
        counts = ' | '.join(str(int((values < level).sum())) for level in _LEVELS)
        print(f'| {name} | {values.min():.2g} | {counts} |')


def _draw_unmarked(number: int, count: int) -> Grey:
    """The images of MedNIST evenly, and drawn ones, in turn."""
    if number % 2:
        modality = ('CT', 'MR', 'DX')[number // 2 % 3]
        return _drawer(modality)(number, 64)
    files = sorted(glob.glob(f'{os.environ["MEDICAL_DATA_DIR"]}/mednist/*/*'))
    return _read_grey(files[number * len(files) // count])[..., None]


if __name__ == '__main__':
    app.run(main)
