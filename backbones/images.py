"""The images of a run: opened as its config says, fed to the devices, and what must be known of them later."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

import input_pipeline
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.feed import Batches, device_feed, host_feed, place_on_devices

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
    try:
        return facts_from_json(workdirs.read_json(workdir, DATA_FILE))
    except (KeyError, TypeError) as error:
        raise UserError(f'{workdir / DATA_FILE} is damaged ({error}); restore it from a copy.') from error


def facts_from_json(content: dict[str, Any]) -> DataFacts:
    """Facts as `dataclasses.asdict` gave them to JSON.

    Raises:
      KeyError, TypeError: when there are other fields.
    """
    intensity = None if content['intensity'] is None else tuple(content['intensity'])
    return DataFacts(**content | {'classes': tuple(content['classes']), 'intensity': intensity})


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


def open_split(
    config: ConfigDict,
    split: str,
    *,
    mask_classes: int,
    context: int,
    flip: bool,
    target: Literal['class', 'modality'],
    in_memory: bool,
    foreground_share: float,
) -> input_pipeline.ImageData:
    """Opens a split of `config.data` at the config's resolution and channels; draws missing phantoms first.

    Args:
      config: of the run.
      split: train, validation or test.
      mask_classes: foreground classes of the masks; 0 without masks.
      context: slices on either side of each that become further channels.
      flip: whether images are mirrored at random as configured.
      target: what the labels tell.
      foreground_share: of training batches, at least, that shows images with foreground.
      in_memory: whether images are decoded into memory where they fit; otherwise they are always read from disk.

    Raises:
      DataError: when the data set is missing, damaged, or not what the config expects.
    """
    data = config.data
    phantom = input_pipeline.PhantomOptions(**data.phantom)
    input_pipeline.ensure_prepared(data.name, data.data_dir, phantom)
    preprocessing = input_pipeline.Preprocessing(
        resolution=config.resolution,
        channels=config.channels,
        window=tuple(data.window_range) if data.window == 'physical' else data.window,
        fit=data.fit,
        mask_classes=mask_classes,
        context=context,
    )
    return input_pipeline.open_dataset(
        data.name,
        data.data_dir,
        split,
        preprocessing,
        flip_horizontal=flip and data.flip_horizontal,
        flip_vertical=flip and data.flip_vertical,
        seed=config.seed,
        memory_budget_bytes=int(data.host_memory_gib * _GIB) if in_memory else 0,
        modalities=tuple(data.modalities),
        classes=tuple(data.classes),
        target=target,
        foreground_share=foreground_share,
    )


def open_feed(
    images: input_pipeline.ImageData,
    resolution: int,
    batch_size: int,
    mesh: Mesh,
    device_memory_gib: float,
    position: int,
    sizes: Iterator[int],
) -> Iterator[Batches]:
    """Batches from `position` on: from device memory where the images fit, else from the host."""
    decoded = images.decoded(resolution)
    if decoded is not None and sum(a.nbytes for a in decoded.values()) <= device_memory_gib * _GIB:
        return device_feed(
            place_on_devices(decoded, mesh),
            images.selection,
            input_pipeline.unpack,
            mesh,
            position=position,
            batch_size=batch_size,
            sizes=sizes,
        )
    _LOGGER.info(
        '%s at %d x %d: images are read from the host, a call ahead.', images.name, resolution, resolution
    )
    batches = images.batches(
        resolution, position, batch_size, process_index=jax.process_index(), process_count=jax.process_count()
    )
    return host_feed(batches, mesh, sizes=sizes)


def batch_shapes(resolution: int, batch_size: int, channels: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of one global batch."""
    return {
        'image': jax.ShapeDtypeStruct((batch_size, resolution, resolution, channels), np.float32),
        'label': jax.ShapeDtypeStruct((batch_size,), np.int32),
    }
