"""The images of a run: opened as its config says, fed to the devices, and what must be known of them later."""

import dataclasses
import functools
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
from input_pipeline.dataset.catalogue import dataset_folder

DATA_FILE = 'data.json'
FOLDER_FILE = 'data_folder.json'
_LOGGER = logging.getLogger(__name__)
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """What a run remembers of its data.

    Attributes:
      name, fingerprint: of the data set.
      num_examples, num_patients: images and patients it was trained on.
      classes: class names, by label.
      dtype: type of the images as they are seen, which generated images get too.
      intensity: physical values of -1 and 1, or None where each volume has its own.
      stored: type of the images in the data set; '' of runs that are older than this fact.
      lowest: physical value in the data set; None where it is not known, or of older runs.
    """

    name: str
    fingerprint: str
    num_examples: int
    num_patients: int
    classes: tuple[str, ...]
    dtype: str
    intensity: tuple[float, float] | None
    stored: str = ''
    lowest: float | None = None

    def check_same(self, workdir: Path) -> None:
        """Raises UserError when the run in `workdir` was trained on other data."""
        if (workdir / DATA_FILE).exists() and read_facts(workdir).fingerprint != self.fingerprint:
            raise UserError(
                f'{workdir} holds a run on other data than {self.name!r} holds now; prepare the data as they were'
                f'{_name_folder(workdir)}, or use another --workdir.'
            )

    def write(self, workdir: Path) -> None:
        """Keeps the facts in the workdir."""
        workdirs.write_json(workdir / DATA_FILE, dataclasses.asdict(self))

    def files(self, data_dir: str) -> dict[str, dict[str, Any]]:
        """What a workdir keeps of the data: the facts, and apart from them, for it is nobody else's, the folder.

        Args:
          data_dir: of all data sets, as the config has it.
        """
        folder = input_pipeline.find_data_dir(data_dir)
        return {DATA_FILE: dataclasses.asdict(self), FOLDER_FILE: {'data_dir': str(folder.absolute())}}


def find_folder(name: str, data_dir: str, workdir: Path) -> str:
    """`data_dir`, or the folder that the run in `workdir` read where the usual one does not hold its data set."""
    usual, former = input_pipeline.find_data_dir(None), _read_folder(workdir)
    if data_dir or former is None or dataset_folder(name, usual) or not dataset_folder(name, former):
        return data_dir
    _tell_folder(usual, name, former)
    return str(former)


@functools.cache  # a command asks more than once
def _tell_folder(usual: Path, name: str, former: Path) -> None:
    _LOGGER.warning('%s has no data set %r; that of %s is used, as in training.', usual, name, former)


def settle_data(config: ConfigDict, workdir: Path) -> tuple[ConfigDict, ConfigDict]:
    """The config as the workdir keeps it, with nothing left open; and the same with the folder to read from.

    Raises:
      DataError: see `fill_channels`.
    """
    kept, found = (config.copy_and_resolve_references() for _ in range(2))
    found.data.data_dir = find_folder(config.data.name, config.data.data_dir, workdir)
    found = fill_channels(found)
    if 'channels' in found:
        kept.channels = found.channels
    return kept, found


def fill_channels(config: ConfigDict) -> ConfigDict:
    """The config, with the channels of the stored images where it leaves them open; phantoms to be drawn are grey.

    Raises:
      DataError: when the data set is damaged.
    """
    if 'channels' not in config or config.channels:  # one without the field is refused where it is checked
        return config
    content = input_pipeline.find_content(config.data.name, config.data.data_dir)
    config = config.copy_and_resolve_references()
    config.channels = 1 if content is None else content.channels
    return config


def _read_folder(workdir: Path) -> Path | None:
    if not (workdir / FOLDER_FILE).is_file():  # no run, or one of an older version
        return None
    folder = workdirs.read_json(workdir, FOLDER_FILE).get('data_dir')
    return Path(folder) if isinstance(folder, str) else None


def _name_folder(workdir: Path) -> str:
    former = _read_folder(workdir)
    return '' if former is None else f' (they were in {former})'


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


def facts_of(images: input_pipeline.ImageData | input_pipeline.Domains) -> DataFacts:
    """What to remember of the opened images."""
    return DataFacts(
        name=images.name,
        fingerprint=images.fingerprint,
        num_examples=images.num_examples,
        num_patients=images.num_patients,
        classes=tuple(images.classes),
        dtype=str(images.dtype),
        intensity=images.intensity,
        stored=str(images.stored_dtype),
        lowest=images.lowest,
    )


@dataclasses.dataclass(frozen=True)
class ImageRequest:
    """The images that a run asks for, whatever their split.

    Attributes:
      name, data_dir: of the data set.
      preprocessing: from stored images to those of the run.
      flip_horizontal, flip_vertical: of training images, at random.
      seed: of their order.
      host_bytes: decoded training images are kept in memory up to this size.
      modalities, classes: only these; () all.
      target: what the labels tell.
      foreground_share: of training batches, at least, that shows images with foreground.
      phantom: how missing phantoms are drawn; None where the data set must be there.
    """

    name: str
    data_dir: str
    preprocessing: input_pipeline.Preprocessing
    flip_horizontal: bool
    flip_vertical: bool
    seed: int
    host_bytes: int
    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    target: Literal['class', 'modality']
    foreground_share: float
    phantom: input_pipeline.PhantomOptions | None

    def find(self, workdir: Path) -> 'ImageRequest':
        """The same of the folder that the run in `workdir` read, where the usual one does not hold the data."""
        return dataclasses.replace(self, data_dir=find_folder(self.name, self.data_dir, workdir))

    def open(self, split: str, *, flip: bool, in_memory: bool) -> input_pipeline.ImageData:
        """Opens a split; draws missing phantoms first.

        Args:
          split: train, validation or test.
          flip: whether images are mirrored at random as asked for.
          in_memory: whether images are decoded into memory where they fit; otherwise always read from disk.

        Raises:
          DataError: when the data set is missing, damaged, or not what was asked for.
        """
        if self.phantom is not None:
            input_pipeline.ensure_prepared(self.name, self.data_dir, self.phantom)
        return input_pipeline.open_dataset(
            self.name,
            self.data_dir,
            split,
            self.preprocessing,
            flip_horizontal=flip and self.flip_horizontal,
            flip_vertical=flip and self.flip_vertical,
            seed=self.seed,
            memory_budget_bytes=self.host_bytes if in_memory else 0,
            modalities=self.modalities,
            classes=self.classes,
            target=self.target,
            foreground_share=self.foreground_share,
        )


def request_images(
    config: ConfigDict,
    *,
    mask_classes: int,
    context: int,
    target: Literal['class', 'modality'],
    foreground_share: float,
    mask_slope: float = 0.0,
) -> ImageRequest:
    """What a config's `data`, `resolution`, `channels` and `seed` ask for.

    Args:
      config: of the run.
      mask_classes: foreground classes of the masks; 0 without masks.
      context: slices on either side of each that become further channels.
      target, foreground_share: see ImageRequest.
      mask_slope: see Preprocessing.
    """
    data = config.data
    return ImageRequest(
        name=data.name,
        data_dir=data.data_dir,
        preprocessing=input_pipeline.Preprocessing(
            resolution=config.resolution,
            channels=config.channels,
            window=tuple(data.window_range) if data.window == 'physical' else data.window,
            fit=data.fit,
            mask_classes=mask_classes,
            context=context,
            pixels=data.pixel_size if data.pixels == 'resampled' else data.pixels,
            mask_slope=mask_slope,
        ),
        flip_horizontal=data.flip_horizontal,
        flip_vertical=data.flip_vertical,
        seed=config.seed,
        host_bytes=int(data.host_memory_gib * _GIB),
        modalities=tuple(data.modalities),
        classes=tuple(data.classes),
        target=target,
        foreground_share=foreground_share,
        phantom=input_pipeline.PhantomOptions(**data.phantom),
    )


def open_feed(
    images: input_pipeline.ImageData | input_pipeline.Domains,
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


def sampled_shapes(batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of what sampled batches have beside images and labels."""
    return {
        'valid': jax.ShapeDtypeStruct((batch_size,), np.bool_),
        'noise_key': jax.ShapeDtypeStruct((batch_size, 2), np.uint32),
    }


def batch_shapes(resolution: int, batch_size: int, channels: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of one global batch."""
    return {
        'image': jax.ShapeDtypeStruct((batch_size, resolution, resolution, channels), np.float32),
        'label': jax.ShapeDtypeStruct((batch_size,), np.int32),
    }
