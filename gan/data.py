"""The training images of a run, and what of them generation must know later."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

import input_pipeline
from gan.schedule import Stage
from gan.setup import ImageFormat
from training import workdir as workdirs
from training.errors import UserError
from training.feed import Batches, device_feed, host_feed, place_on_devices

DATA_FILE = 'data.json'
_LOGGER = logging.getLogger(__name__)
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """What a run remembers of its data.

    Attributes:
      name, fingerprint: of the data set.
      num_examples, num_patients: images and patients it was trained on.
      classes: class names, by label.
      dtype: stored type, which generated images get too.
      intensity: physical values of -1 and 1, or None where each volume has its own.
    """

    name: str
    fingerprint: str
    num_examples: int
    num_patients: int
    classes: tuple[str, ...]
    dtype: str
    intensity: tuple[float, float] | None

    def check_same(self, workdir: Path) -> None:
        """Raises UserError when the run in `workdir` was trained on other data."""
        if (workdir / DATA_FILE).exists() and read_facts(workdir).fingerprint != self.fingerprint:
            raise UserError(
                f'{workdir} holds a run on other data than {self.name!r} holds now; '
                'prepare the data as they were, or use another --workdir.'
            )

    def write(self, workdir: Path) -> None:
        """Keeps the facts in the workdir."""
        workdirs.write_json(workdir / DATA_FILE, dataclasses.asdict(self))


def read_facts(workdir: Path) -> DataFacts:
    """The facts of the data that the run in `workdir` was trained on.

    Raises:
      UserError: when they are missing or damaged.
    """
    content = workdirs.read_json(workdir, DATA_FILE)
    try:
        intensity = None if content['intensity'] is None else tuple(content['intensity'])
        return DataFacts(**content | {'classes': tuple(content['classes']), 'intensity': intensity})
    except (KeyError, TypeError) as error:
        raise UserError(f'{workdir / DATA_FILE} is damaged ({error}); restore it from a copy.') from error


def open_images(config: ConfigDict) -> input_pipeline.ImageData:
    """Opens the configured training split; draws the phantoms first where they are asked for and missing.

    Raises:
      DataError: when the data set is missing, damaged, or not what the config expects.
      UserError: when a condition is asked for and there are no classes.
    """
    data = config.data
    phantom = input_pipeline.PhantomOptions(**data.phantom)
    input_pipeline.ensure_prepared(data.name, data.data_dir, phantom)
    window = tuple(data.window_range) if data.window == 'physical' else data.window
    preprocessing = input_pipeline.Preprocessing(
        resolution=config.resolution,
        channels=config.channels,
        window=window,
        fit=data.fit,
        mask_classes=config.mask_classes,
    )
    images = input_pipeline.open_dataset(
        data.name,
        data.data_dir,
        data.split,
        preprocessing,
        flip_horizontal=data.flip_horizontal,
        flip_vertical=data.flip_vertical,
        seed=config.seed,
        memory_budget_bytes=int(data.host_memory_gib * _GIB),
        modalities=tuple(data.modalities),
        classes=tuple(data.classes),
    )
    if config.conditional and not images.classes:
        raise UserError(f'config.conditional is set, but the data set {data.name!r} has no classes.')
    return images


def facts_of(images: input_pipeline.ImageData) -> DataFacts:
    """What to remember of the opened images."""
    return DataFacts(
        name=images.name,
        fingerprint=images.fingerprint,
        num_examples=images.num_examples,
        num_patients=images.num_patients,
        classes=tuple(images.classes),
        dtype=str(images.dtype),
        intensity=images.intensity,
    )


def image_format(config: ConfigDict, classes: tuple[str, ...]) -> ImageFormat:
    """The channels and classes that the networks of a run have."""
    return ImageFormat(config.channels, config.mask_classes, len(classes) if config.conditional else 0)


def open_feed(
    images: input_pipeline.ImageData,
    stage: Stage,
    mesh: Mesh,
    device_memory_gib: float,
    position: int,
    sizes: Iterator[int],
) -> Iterator[Batches]:
    """Batches of one stage from `position` on: from device memory where the images fit, else from the host."""
    decoded = images.decoded(stage.resolution)
    if decoded is not None and sum(a.nbytes for a in decoded.values()) <= device_memory_gib * _GIB:
        arrays = place_on_devices(decoded, mesh)
        return device_feed(
            arrays,
            images.selection,
            input_pipeline.unpack,
            mesh,
            position=position,
            batch_size=stage.batch_size,
            sizes=sizes,
        )
    _LOGGER.info('%s: images are read from the host, a call ahead.', stage.name)
    batches = images.batches(
        stage.resolution,
        position,
        stage.batch_size,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    return host_feed(batches, mesh, sizes=sizes)


def batch_shapes(stage: Stage, channels: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of one global batch."""
    shape = (stage.batch_size, stage.resolution, stage.resolution, channels)
    return {
        'image': jax.ShapeDtypeStruct(shape, np.float32),
        'label': jax.ShapeDtypeStruct((stage.batch_size,), np.int32),
    }
