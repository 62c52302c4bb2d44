"""What a GAN is trained with: the one place where fields of a config meet networks, losses and optimisers."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.images import ImageRequest, fill_channels, request_images
from configs import schema
from configs.gan.schema import GAN, SECTIONS
from foundation.training import compute
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.loop import Periods, periods_of
from gan.annealing import Annealing
from gan.augmentation import DiscriminatorAugmentation
from gan.conflicts import check_together
from gan.differential_privacy.gradient import PrivateGradient
from gan.differential_privacy.terms import PrivacyTerms, check_private
from gan.domains import TrainingImages, open_classes, open_domains, request_target
from gan.families import FAMILIES, Family, choose_labelled
from gan.networks import Generator, relative_cost
from gan.objective import Objective
from gan.optimizers import create_optimizers
from gan.schedule import Schedule, Stage
from gan.state import GanState, Optimizers, create_state, draw_networks
from gan.step import Adaptation, Averaging, StepRecipe


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """What the networks draw.

    Attributes:
      channels: of the image itself.
      mask_classes: mask channels beside them, one a foreground class.
      num_classes: classes of the condition; 0 without.
    """

    channels: int
    mask_classes: int
    num_classes: int

    @property
    def all_channels(self) -> int:
        """Image and mask channels together."""
        return self.channels + self.mask_classes


@dataclasses.dataclass(frozen=True)
class SampleGrid:
    """How many images a picture of samples has: rows and columns."""

    rows: int
    columns: int

    @property
    def count(self) -> int:
        """All images of it."""
        return self.rows * self.columns


@dataclasses.dataclass(frozen=True)
class StartFrom:
    """Another run that layers are copied from; see `gan.transfer`.

    Attributes:
      workdir: of that run; '' for none.
      generator, discriminator: whether its network is copied.
    """

    workdir: str
    generator: bool
    discriminator: bool


@dataclasses.dataclass(frozen=True)
class WatchPlan:
    """How samples are watched while training goes on; see `gan.watch`.

    Attributes:
      images: between two looks; 0 never.
      extractor: in whose features; '' random ones.
      samples: images to look at.
      on_collapse, collapse_ratio: see `foundation.training.best.Watch`.
    """

    images: int
    extractor: str
    samples: int
    on_collapse: str
    collapse_ratio: float


@dataclasses.dataclass(frozen=True, eq=False)
class GanRecipe:
    """An experiment: all that is known of it before its data are opened.

    Attributes:
      seed: of every random number.
      images: what is asked of the data set.
      target: what is asked of the images that others are translated to; None where nothing is translated.
      split: of the data set, to train on.
      device_memory_gib: GiB of the device that decoded images may take.
      conditional: whether the networks are given the data set's classes.
      architecture: one of `FAMILIES`.
      sections: of the config: fields of its networks, the same at all resolutions, and of its family.
      mask_head: whether the generator draws masks by a head of their own.
      dtype: that the networks compute in.
      objective: what they are trained for.
      optimizers: of each network by name.
      discriminator_steps: updates of the discriminator for each of the generator.
      averaging: the generator's running mean.
      augmentation: what happens to all images before the discriminator sees them.
      augmentation_probability: of each operation, at the start.
      adaptation: how that probability follows the discriminator; None keeps it.
      schedule: how the networks grow, and for how long they are trained.
      annealing: what changes while training goes on; None for nothing.
      privacy: what is protected of the training images, and how much; None for nothing.
      start_from: another run that layers are copied from.
      watch: how samples are watched.
      samples: of a grid.
      periods: how often things happen.
      checkpoints_to_keep: the newest ones.
      fields: every field of the config by its name, as the workdir keeps it: for pages, files and checksums alone.

    Raises:
      UserError: when parts do not fit together.
    """

    seed: int
    images: ImageRequest
    target: ImageRequest | None
    split: str
    device_memory_gib: float
    conditional: bool
    architecture: str
    sections: Mapping[str, Mapping[str, Any]]
    mask_head: bool
    dtype: jnp.dtype
    objective: Objective
    optimizers: Optimizers
    discriminator_steps: int
    averaging: Averaging
    augmentation: DiscriminatorAugmentation
    augmentation_probability: float
    adaptation: Adaptation | None
    schedule: Schedule
    annealing: Annealing | None
    privacy: PrivacyTerms | None
    start_from: StartFrom
    watch: WatchPlan
    samples: SampleGrid
    periods: Periods
    checkpoints_to_keep: int
    fields: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_together(self)
        check_private(self)

    @property
    def family(self) -> Family:
        """The family of its architecture."""
        return FAMILIES[self.architecture]

    @property
    def resolution(self) -> int:
        """Height and width of the final images."""
        return self.schedule.final_resolution

    @property
    def reals_per_image(self) -> int:
        """Real images that a step takes for each one it counts: to translate, one of each domain."""
        return 2 if self.target is not None else self.objective.reals_per_image

    def open_training(self) -> TrainingImages:
        """Opens the training images, in memory where they fit.

        Raises:
          DataError: when the data set is missing, damaged, or not what was asked for.
          UserError: when a condition is asked for and there are no classes.
        """
        if self.target is not None:
            paired = self.family.translates == 'paired'
            return open_domains(self.images, self.target, self.split, training=True, paired=paired)
        if self.family.translates:
            return open_classes(self.images, self.split)
        images = self.images.open(self.split, flip=True, in_memory=True)
        if self.conditional and not images.classes:
            raise UserError(f'config.conditional is set, but the data set {images.name!r} has no classes.')
        return images

    def hide_labels(self, images: TrainingImages) -> TrainingImages:
        """Training images as a family learns from them that is told few labels: others are -1.

        Those that are known get their share of each batch.
        """
        own = self.sections.get('family', {})
        if isinstance(images, input_pipeline.Domains) or not own.get('labelled', 0) or images.labels is None:
            return images
        labels = choose_labelled(images.labels, own['labelled'], self.seed)
        known = np.flatnonzero(labels >= 0)
        return images.relabelled(labels, images.classes).favouring(known, own['labelled_share'])

    def open_split(self, split: str) -> input_pipeline.ImageData:
        """Opens any split as the networks see it, unflipped, to be read from disk; see `ImageRequest.open`."""
        return self.images.open(split, flip=False, in_memory=False)

    def image_format(self, num_classes: int) -> ImageFormat:
        """What the networks draw, of data with so many classes."""
        form = self.images.preprocessing
        return ImageFormat(form.channels, form.mask_classes, num_classes if self.conditional else 0)

    def stages(self, num_examples: int) -> tuple[Stage, ...]:
        """The stages of growth, on so many training images.

        Raises:
          UserError: see `schedule.create_stages`.
        """
        try:
            stages = self.schedule.stages(num_examples)
        except ValueError as error:
            raise UserError(f'config: {error}') from error
        annealing, end = self.annealing, stages[-1].end
        if annealing is not None and not annealing.learning_rate and end > annealing.images:
            raise UserError(
                f'config.anneal.learning_rate is 0 from {annealing.images} images on (config.anneal.images), but '
                f'the schedule has {end}; make both equal, or nothing is learnt in the end.'
            )
        return stages

    def networks_at(self, resolution: int, image_format: ImageFormat) -> Mapping[str, nn.Module]:
        """All networks by name, at one resolution of their growth."""
        shared = {
            'resolution': resolution,
            'channels': image_format.all_channels,
            'num_classes': image_format.num_classes,
            'dtype': self.dtype,
        }
        sections = self.sections
        if self.mask_head:
            apart = {'mask_channels': image_format.mask_classes}
            sections = {**sections, 'generator': {**sections['generator'], **apart}}
        return self.family.create(sections, shared)

    def generator_at(self, resolution: int, image_format: ImageFormat) -> Generator:
        """The network that draws images, at one resolution of its growth."""
        return cast(Generator, self.networks_at(resolution, image_format)['generator'])

    def step_at(self, resolution: int, image_format: ImageFormat) -> StepRecipe:
        """All that decides a step at one resolution."""
        return StepRecipe(
            networks=self.networks_at(resolution, image_format),
            optimizers=self.optimizers,
            objective=self.objective,
            averaging=self.averaging,
            augmentation=self.augmentation,
            adaptation=self.adaptation,
            reals_per_image=self.reals_per_image,
            discriminator_steps=self.discriminator_steps,
            annealing=self.annealing,
            options=self.sections.get('family', {}),
            create_updates=self.family.updates,
            privacy=self._private_gradient(resolution),
        )

    def _private_gradient(self, resolution: int) -> PrivateGradient | None:
        if self.privacy is None:
            return None
        return self.privacy.create_gradient(self.schedule.batch_size[f'at_{resolution}'])

    def relative_cost(self, resolution: int) -> float:
        """Of an image at one resolution of the growth beside one at another."""
        if self.schedule.first_resolution == self.resolution:
            return 1.0
        fields = self.sections['generator']
        return relative_cost(resolution, fields['fmap_base'], fields['fmap_max'])

    def create_state(self, step: StepRecipe, key: PRNGKeyArray) -> GanState:
        """A fresh state for one of its steps."""
        drawn = draw_networks(step.networks, self.family.inputs(step.networks), step.optimizers, key)
        return create_state(drawn, averaged=('generator',), augmentation_probability=self.augmentation_probability)

    def abstract_state(self, resolution: int, image_format: ImageFormat) -> GanState:
        """Shapes and types of a state at one resolution; nothing is allocated."""
        create = functools.partial(self.create_state, self.step_at(resolution, image_format))
        return jax.eval_shape(create, jax.random.key(0))


def create_recipe(config: ConfigDict) -> GanRecipe:
    """The experiment that a config describes.

    Raises:
      UserError, DataError: for the first value that cannot be used.
    """
    fields, config = config.to_dict(), fill_channels(schema.check(GAN, config, left_open=True))
    fields['channels'] = config.channels
    augment, resolution, family = config.augment, config.resolution, FAMILIES[config.architecture]
    if refusal := family.refusal(config.to_dict()):
        raise UserError(refusal)
    annealing = _create_annealing(config.anneal, augment.probability)
    try:
        schedule = Schedule(final_resolution=resolution, **config.schedule.to_dict())
        last = schedule.stages(num_examples=1)[-1]  # refuses what does not depend on the data
        images = _request_images(config)
        return GanRecipe(
            seed=config.seed,
            images=images,
            target=request_target(config.to_dict().get('target'), images, paired=family.translates == 'paired'),
            split=config.data.split,
            device_memory_gib=config.data.device_memory_gib,
            conditional=config.conditional,
            architecture=config.architecture,
            sections={name: _limited(config[name], resolution) for name in SECTIONS if name in config},
            mask_head=config.mask_head,
            dtype=compute.compute_dtype(config.compute_dtype),
            objective=Objective(**config.loss),
            optimizers=create_optimizers(family.sides, annealing, last.batch_size, **config.optimizer),
            discriminator_steps=config.optimizer.discriminator_steps,
            averaging=Averaging(**config.average),
            augmentation=DiscriminatorAugmentation(tuple(augment.operations), config.mask_classes),
            augmentation_probability=augment.probability,
            adaptation=Adaptation(augment.target, augment.every, augment.images) if augment.adaptive else None,
            schedule=schedule,
            annealing=annealing,
            privacy=_create_privacy(config.privacy),
            start_from=StartFrom(**config.start_from),
            watch=WatchPlan(**config.watch),
            samples=SampleGrid(**config.samples),
            periods=periods_of(config.run, _cycle_length(family, config.to_dict()), config.run.sample_images),
            checkpoints_to_keep=config.run.checkpoints_to_keep,
            fields=fields,
        )
    except ValueError as error:
        raise UserError(f'config: {error}') from error


def _request_images(config: ConfigDict) -> ImageRequest:
    return request_images(
        config,
        mask_classes=config.mask_classes,
        context=0,
        target='class',
        foreground_share=0.0,
        mask_slope=config.mask_slope,
    )


def recreate_recipe(fields: Mapping[str, Any]) -> GanRecipe:
    """The experiment whose config a workdir, or an exported generator, keeps as JSON.

    Fields that this version does not know decide nothing; they stay among `fields`.

    Raises:
      KeyError, TypeError, ...: whatever reading JSON of another version makes its readers raise.
      UserError, DataError: for the first value that cannot be used.
    """
    config = workdirs.config_from_json(fields)
    recipe = create_recipe(schema.known_part(GAN, config))
    return dataclasses.replace(recipe, fields=config.to_dict())


def _limited(section: ConfigDict, resolution: int) -> dict[str, Any]:
    fields = section.to_dict()
    if 'attention_resolution' in fields:
        # The paper's block, or the last one where images stay smaller.
        fields['attention_resolution'] = min(fields['attention_resolution'], resolution)
    return fields


def _cycle_length(family: Family, fields: Mapping[str, Any]) -> int:
    """Steps until all repeats: with and without the penalty, and those with fewer networks."""
    repeats = fields['optimizer']['discriminator_steps'] * family.repeats(fields.get('family', {}))
    return math.lcm(fields['loss']['penalty_every'], repeats)


def _create_privacy(privacy: ConfigDict) -> PrivacyTerms | None:
    """None where no noise is asked for."""
    terms = PrivacyTerms(**privacy)
    return terms if terms.is_asked_for else None


def _create_annealing(anneal: ConfigDict, augmentation: float) -> Annealing | None:
    """None where nothing changes; `augmentation` is its probability at the start."""
    if not anneal.images:
        return None
    return Annealing(**anneal.to_dict() | {'augmentation': (augmentation, anneal.augmentation)})
