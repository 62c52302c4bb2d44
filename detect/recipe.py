"""What a detector of images is made of and trained by: a config, read once, as finished objects."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.augmentation import ImageAugmentation
from backbones.encoders import Encoder
from backbones.images import ImageRequest, fill_channels
from backbones.networks import create_network
from backbones.recipe import check_blocks
from backbones.schedule import CosineAdam, EpochSchedule
from configs.detect.schema import DEGRADE, DETECTOR, FILES
from configs.schema import Field, Section, check
from detect.data import DetectorData, SheetShowing
from detect.degradations import NO_DEGRADATION, Degradation
from detect.file_degradations import FileDegradation
from detect.networks import INPUTS, DetectorNetwork
from detect.sheets import PatchSheet
from foundation.training import compute
from foundation.training.errors import UserError
from foundation.training.fit import Pace
from foundation.training.supervised import SupervisedState, create_state

_GIB = 2**30
_LONGEST = 2048  # pixels of a side that training images grow to at most
Images = Float32[np.ndarray, 'image height width channel']


@dataclasses.dataclass(frozen=True)
class Attack:
    """By what training images are made harder.

    Attributes:
      eps: largest change, in units of images; 0 leaves them as they are.
      steps: in which the change is looked for.
    """

    eps: float
    steps: int


@dataclasses.dataclass(frozen=True)
class AnomalyRecipe:
    """How scores of strangeness are fitted, once the network is trained.

    Attributes:
      padim_features: channels that PaDiM draws.
      coreset: patches that PatchCore keeps.
      images: real training images that both look at, at most.
      seed: of what they draw.
    """

    padim_features: int
    coreset: int
    images: int
    seed: int

    def check_channels(self, channels: int) -> None:
        """Raises UserError where more channels would be used than the network's maps have."""
        if self.padim_features > channels:
            raise UserError(
                f'config.anomaly.padim_features is {self.padim_features}, but the maps have {channels} channels; '
                'make it smaller.'
            )


@dataclasses.dataclass(frozen=True)
class DetectorRecipe:
    """A detector of images and its training.

    Attributes:
      data: what it learns from.
      network: with encoders of its own, until `with_encoder` gives it others.
      start_from: where the weights of its encoders come from; '' for their own.
      augmentation, degradation, attack: of training images.
      optimizer: of all weights.
      schedule: how long it trains.
      anomaly: what is fitted afterwards.
      pace: how the run goes on.
      device_memory_gib: images are kept on the device up to this size.
    """

    data: DetectorData
    network: DetectorNetwork
    start_from: str
    augmentation: ImageAugmentation
    degradation: Degradation
    attack: Attack
    optimizer: CosineAdam
    schedule: EpochSchedule
    anomaly: AnomalyRecipe
    pace: Pace
    device_memory_gib: float

    @property
    def resolution(self) -> int:
        """Height and width of what the network sees: of images, or of their sheets."""
        return self.data.side

    @property
    def sheet(self) -> PatchSheet | None:
        """How images become tiles; None where they are seen as a whole."""
        return None if self.data.showing is None else self.data.showing.sheet

    def overview(self, images: Images) -> Float32[np.ndarray, 'image _ _ channel']:
        """Of what the network sees, the images as a whole."""
        return images if self.sheet is None else self.sheet.overview(images)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.data.request.preprocessing.channels

    def with_encoder(self, encoder: Encoder | None) -> 'DetectorRecipe':
        """The same with this encoder in all branches; unchanged for None."""
        if encoder is None:
            return self
        encoders = tuple(encoder.create(own.dtype) for own in self.network.encoders)
        return dataclasses.replace(self, network=self.network.clone(encoders=encoders, prepare=encoder.prepare))

    def create_state(self, steps: int, key: PRNGKeyArray) -> SupervisedState:
        """A fresh state of a training of so many steps."""
        images = jnp.zeros((1, self.resolution, self.resolution, self.channels))
        return create_state(self.network.init(key, images), self.optimizer.create(steps))


def create_recipe(config: ConfigDict) -> DetectorRecipe:
    """Reads a detector's config.

    Raises:
      UserError, DataError: for the first value that cannot be used.
    """
    config = check(DETECTOR, config, left_open=True)
    check_named(config.data.name)
    config = fill_channels(config)
    dtype = compute.compute_dtype(config.compute_dtype)
    encoder = create_network(config.architecture, config.network.to_dict(), num_classes=1, dtype=dtype)
    check_blocks(encoder, config.resolution)
    _check_inputs(tuple(config.inputs))
    _check_patches(config)
    data, augmentation, degradation = _create_images(config)
    return DetectorRecipe(
        data=data,
        network=DetectorNetwork(
            tuple(config.inputs),
            tuple(encoder.clone() for _ in config.inputs),
            _keep,
            config.attention_heads,
            tile=0 if data.showing is None else config.resolution,
        ),
        start_from=config.start_from,
        augmentation=augmentation,
        degradation=degradation,
        attack=_create_attack(**config.adversarial),
        optimizer=CosineAdam(**config.optimizer),
        schedule=EpochSchedule(config.schedule.epochs, config.schedule.batch_size, config.watch.epochs),
        anomaly=AnomalyRecipe(**config.anomaly, seed=config.seed),
        pace=Pace.create(config.seed, config.run, sample=config.run.checkpoint_images),
        device_memory_gib=config.data.device_memory_gib,
    )


def _keep(images: Array) -> Array:
    return images


def check_named(name: str) -> None:
    """Raises UserError where no data set is named."""
    if not name:
        raise UserError('config.data.name is empty; name a data set that detect.prepare wrote.')


def _check_patches(config: ConfigDict) -> None:
    """Raises UserError where fields for patches and others do not go together."""
    data = config.data
    if (data.patches > 0) != (data.patches_in_training > 0) or data.patches_in_training > data.patches:
        raise UserError(
            f'config.data.patches_in_training is {data.patches_in_training} of {data.patches} '
            'config.data.patches; take one or more of them, or set both to 0.'
        )
    used = [name for name in ('scaling', 'text', 'borders', 'webp') if config.files[name]]
    if used and not data.patches:
        raise UserError(
            f'config.files.{used[0]} is {config.files[used[0]]}, which is for patches alone; set it to 0, or give '
            'config.data.patches.'
        )
    if data.patches and config.augment.shift:
        raise UserError(
            f'config.augment.shift is {config.augment.shift}, but patches lie at places by chance; set it to 0.'
        )


def _create_images(config: ConfigDict) -> tuple[DetectorData, ImageAugmentation, Degradation]:
    """What it learns from, and what a compiled step does to it: nothing to sheets, whose images were degraded."""
    data = _create_data(**config.data, resolution=config.resolution, channels=config.channels, seed=config.seed)
    augmentation = ImageAugmentation(
        shift=int(config.augment.shift * config.resolution),
        contrast=config.augment.contrast,
        brightness=config.augment.brightness,
    )
    degradation = _create_degradation(**config.degrade)
    if not config.data.patches:
        return data, augmentation, degradation
    files = _with_ends(FILES, 'files', {**config.files})
    training = FileDegradation(
        every=degradation,
        contrast=augmentation.contrast,
        brightness=augmentation.brightness,
        **files,
        flip_horizontal=config.data.flip_horizontal,
        flip_vertical=config.data.flip_vertical,
        shortest=config.resolution,
        longest=_LONGEST,
    )
    shown = [
        PatchSheet(config.resolution, count) for count in (config.data.patches, config.data.patches_in_training)
    ]
    data = dataclasses.replace(
        data, showing=SheetShowing(shown[0], None), training=SheetShowing(shown[1], training)
    )
    return data, ImageAugmentation(0, 0.0, 0.0), NO_DEGRADATION


def _create_data(
    *,
    name: str,
    data_dir: str,
    sources: Sequence[str],
    modalities: Sequence[str],
    labels: str,
    patches: int,
    patches_in_training: int,
    flip_horizontal: bool,
    flip_vertical: bool,
    host_memory_gib: float,
    device_memory_gib: float,
    resolution: int,
    channels: int,
    seed: int,
) -> DetectorData:
    """All images that a data set has, as a whole; how much of them a device keeps is not theirs to know."""
    del device_memory_gib, patches, patches_in_training
    request = ImageRequest(
        name=name,
        data_dir=data_dir,
        preprocessing=input_pipeline.Preprocessing(
            resolution, channels, 'stored', 'pad', mask_classes=0, context=0
        ),
        flip_horizontal=flip_horizontal,
        flip_vertical=flip_vertical,
        seed=seed,
        host_bytes=int(host_memory_gib * _GIB),
        modalities=tuple(modalities),
        classes=(),
        target='class',
        foreground_share=0.0,
        phantom=None,
    )
    return DetectorData(request, tuple(sources), labels)


def _check_inputs(inputs: tuple[str, ...]) -> None:
    if not inputs or set(inputs) - set(INPUTS) or len(set(inputs)) < len(inputs):
        raise UserError(f'config.inputs is {inputs}; name some of {", ".join(INPUTS)}, each once.')


def _create_degradation(**fields: Any) -> Degradation:
    return Degradation(**_with_ends(DEGRADE, 'degrade', fields))


def _with_ends(section: Section, section_name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with the ends of strengths, which rise within the bounds of the schema, as tuples."""
    fields = dict(given)
    for name, value in fields.items():
        bounds = section.fields[name]
        if isinstance(value, list | tuple) and isinstance(bounds, Field):
            ends = fields[name] = tuple(value)
            if len(ends) != 2 or not bounds.low <= ends[0] <= ends[1] <= bounds.high:
                raise UserError(
                    f'config.{section_name}.{name} is {ends}; give two ends, rising, from {bounds.low} to '
                    f'{bounds.high}.'
                )
    return fields


def _create_attack(eps: float, steps: int) -> Attack:
    """From a largest change in 1/255 of the range of images, which is 2."""
    if (eps > 0) != (steps > 0):
        raise UserError('config.adversarial needs eps and steps, or neither.')
    return Attack(eps * 2 / 255, steps)
