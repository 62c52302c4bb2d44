"""Drawn patients, and fakes of them that leave traces between neighbouring pixels."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from input_pipeline.phantom.dataset import PhantomOptions, scan
from input_pipeline.records import Item
from tests.input_pipeline.items import make_item, write

SIZE = 64
SPLITS = {'train': 24, 'validation': 12, 'test': 12}  # patients
IMAGES_PER_PATIENT = 2
MODALITIES = ('CT', 'MR')


def draw_patients(seed: int, per_patient: int = IMAGES_PER_PATIENT) -> list[Item]:
    """Phantoms of 16 bits in all splits."""
    names = [split for split, patients in SPLITS.items() for _ in range(patients)]
    options = PhantomOptions(len(names) * per_patient, SIZE, MODALITIES, seed, per_patient)
    return [dataclasses.replace(item, split=split) for item, split in zip(scan(options), names, strict=True)]


def draw_pictures(seed: int, split: str) -> list[np.ndarray]:
    """Phantoms as pictures of 8 bits, one of each patient of a split."""
    pictures = []
    for item in draw_patients(seed, per_patient=1):
        if item.split == split:
            (record,) = item.load()
            low, high = record.window
            shown = np.clip((record.physical - low) / (high - low), 0, 1)
            pictures.append(np.rint(255 * shown[..., 0]).astype(np.uint8))
    return pictures


def add_blocks(picture: np.ndarray, seed: int) -> np.ndarray:
    """A checkerboard of fields of 2x2 pixels, as a layer that doubles resolution leaves behind."""
    rows, columns = np.indices(picture.shape) // 2
    return np.clip(picture + 30.0 * ((rows + columns) % 2) - 15, 0, 255).astype(np.uint8)


def add_noise(picture: np.ndarray, seed: int) -> np.ndarray:
    """Noise in fields of 2x2 pixels."""
    noise = np.random.default_rng(seed).normal(0, 25, [side // 2 for side in picture.shape])
    return np.clip(picture + noise.repeat(2, axis=0).repeat(2, axis=1), 0, 255).astype(np.uint8)


def write_reals(data_dir: Path, name: str) -> None:
    """A prepared set of real images."""
    write(draw_patients(0), data_dir, name)


def write_fakes(folder: Path, change: Callable[[np.ndarray, int], np.ndarray], seed: int) -> None:
    """A folder for each split, of PNG files."""
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        for number, picture in enumerate(draw_pictures(seed, split)):
            save_picture(folder / split / f'{number:03d}.png', change(picture, number))


def save_picture(path: Path, picture: np.ndarray) -> Path:
    """A PNG file, or what the name asks for; colours in the order red, green, blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)
    return path


def write_pictures(data_dir: Path, name: str, pictures: list[np.ndarray], **fields) -> None:
    """A prepared set of pictures of 8 or 16 bits, as they stand in files; patients p0, p1, ... in the first split.

    Args:
      data_dir, name: of the set.
      pictures: (height, width).
      fields: of all items, see `make_item`.
    """
    largest = float(np.iinfo(pictures[0].dtype).max)
    given = {'intensity': (0.0, largest), 'split': 'train', 'modality': 'CT'} | fields
    items = [
        make_item(f'i{number}', [picture[..., None]], patient=f'p{number}',
                  window=tuple(np.percentile(picture, (0.5, 99.5))), **given)
        for number, picture in enumerate(pictures)
    ]  # fmt: skip
    write(items, data_dir, name)
