"""Small drawn volumes with lesions, as a prepared data set."""

from pathlib import Path

import numpy as np

from tests.input_pipeline.items import make_item, write

SPLITS = {'train': 8, 'validation': 4, 'test': 4}  # patients
SHAPE = (8, 20, 20)


def draw_lesions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright body with noise in 12 bits, and a lesion of 3x4x4 voxels in it, with its mask."""
    random = np.random.default_rng(seed)
    volume = np.zeros(SHAPE)
    volume[:, 2:18, 2:18] = 1000
    z, y, x = (random.integers(1, size) for size in (4, 10, 10))
    mask = np.zeros(SHAPE, bool)
    mask[z : z + 3, y + 4 : y + 8, x + 4 : x + 8] = True
    volume += 800 * mask + random.normal(scale=40, size=SHAPE)
    return volume.clip(0, 4095), mask


def write_volumes(
    data_dir: Path,
    name: str,
    *,
    dtype: type = np.uint8,
    masks: bool = True,
    lesions: bool = True,
    slices: int = SHAPE[0],
    channels: int = 1,
    intensity: tuple[float, float] = (-1024.0, 3071.0),
) -> None:
    """A volume of 1 mm of each patient, with the slices around its lesion where it has fewer."""
    items, largest = [], np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    for number, split in enumerate(split for split, count in SPLITS.items() for _ in range(count)):
        volume, mask = draw_lesions(number)
        first = 0 if slices == SHAPE[0] else int(np.flatnonzero(mask.any(axis=(1, 2)))[0])
        kept = slice(first, first + slices)
        scaled = volume[kept] / 4095 * largest
        stored: np.ndarray = (np.rint(scaled) if largest > 1 else scaled).astype(dtype)
        low, high = intensity
        physical = low + (high - low) * stored.astype(np.float64) / largest
        shown = np.percentile(physical, (0.5, 99.5) if low < high else (99.5, 0.5))
        items.append(
            make_item(
                f'{name}{number:02d}',
                [np.repeat(one[..., None], channels, axis=-1) for one in stored],
                patient=f'p{number:02d}',
                split=split,
                label='brain',
                masks=[(one & lesions)[..., None].astype(np.uint8) for one in mask[kept]] if masks else None,
                modality='MR',
                intensity=intensity,
                window=(float(np.float32(shown[0])), float(np.float32(shown[1]))),
                spacing=(1.0, 1.0, 1.0),
            )
        )
    write(items, data_dir, name)
