"""Items made in memory, as readers would hand them over."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.dataset.builder import Target, WriteOptions, write_dataset
from input_pipeline.dataset.splits import SplitFractions
from input_pipeline.errors import Refusals
from input_pipeline.records import Item, Record

OPTIONS = WriteOptions(
    SplitFractions(validation=0.2, test=0.2), None, (0.5, 99.5), {'source': 'test'}, licence='CC0'
)


def make_item(
    key: str,
    images: Sequence[np.ndarray],
    *,
    patient: str | None = None,
    split: str | None = None,
    label: str | None = None,
    masks: Sequence[np.ndarray] | None = None,
    modality: str = 'CT',
    intensity: tuple[float, float] = (-1024.0, 3071.0),
    window: tuple[float, float] = (-100.0, 900.0),
    spacing: tuple[float, float, float] = (0.5, 0.5, 2.0),
) -> Item:
    """A volume of the given slices; a single slice keeps the item's key."""
    keys = [key] if len(images) == 1 else [f'{key}/{number:03d}' for number in range(len(images))]

    def load():
        for number, image in enumerate(images):
            yield Record(
                key=keys[number],
                image=image,
                patient=patient or key,
                modality=modality,
                label=label,
                mask=None if masks is None else masks[number],
                intensity=intensity,
                window=window,
                spacing=spacing,
                source=f'{key}.png',
            )

    dtype: Any = images[0].dtype.name
    channels = images[0].shape[-1]
    return Item(key, patient or key, split, label, dtype, channels, load)


def random_images(count: int, shape: tuple[int, int, int], dtype: type, seed: int = 0) -> list[np.ndarray]:
    """Smooth enough to have structure, rough enough that every pixel differs."""
    generator = np.random.default_rng(seed)
    if dtype == np.float32:
        return [generator.normal(size=shape).astype(np.float32) for _ in range(count)]
    return [generator.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype) for _ in range(count)]


def write(
    items: Sequence[Item],
    data_dir,
    name: str = 'small',
    overwrite: bool = False,
    skip: bool = False,
    options=OPTIONS,
):
    """Writes a data set and returns its summary."""
    return write_dataset(items, Target(name, data_dir, overwrite), options, Refusals(skip=skip))
