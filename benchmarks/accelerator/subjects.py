"""What is stepped and timed: every network with its training step, made from its config as training makes it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from ml_collections import ConfigDict

from backbones.recipe import ClassifierRecipe
from backbones.recipe import create_recipe as create_recipe_of_classifier
from backbones.step import make_train_step as make_classifier_step
from benchmarks import unets
from configs.backbones import classifier
from configs.detect import detector
from configs.gan import conditional, dcgan, dcgan_medical, enhanced_gan, pggan, sagan, sngan, wgan_gp
from detect.recipe import DetectorRecipe
from detect.recipe import create_recipe as create_recipe_of_detector
from detect.step import make_train_step as make_detector_step
from foundation.training.phases import Step
from foundation.training.supervised import SupervisedState
from gan.recipe import GanRecipe
from gan.recipe import create_recipe as create_gan_recipe
from gan.step import StepRecipe, create_cycle, make_train_step
from segment.recipe import create_recipe as create_unet_recipe
from segment.step import make_train_step as make_unet_step

GANS: Mapping[str, Callable[[], ConfigDict]] = {
    'enhanced_gan': enhanced_gan.get_config,
    'pggan': pggan.get_config,
    'dcgan': dcgan.get_config,
    'sngan': sngan.get_config,
    'sagan': sagan.get_config,
    'wgan_gp': wgan_gp.get_config,
    'conditional': conditional.get_config,
    'dcgan_medical': lambda: dcgan_medical.get_config('gradient_penalty'),
}
_CLASSES = 3
_STEPS = 1000  # of schedules of learning rates, which time does not depend on
_RATE = 0.01  # of steps that are compared


@dataclasses.dataclass(frozen=True)
class Subject:
    """Something that can be trained.

    Attributes:
      cycle: the steps that training repeats: `step(state, batch, key, controls) -> (state, metrics)`.
      counted_cycle: the same steps without loops, whose bodies XLA would count once.
      whole_step: one step that updates every network, with its penalty.
      create_state: a fresh state from a key.
      batch_size, resolution, channels: of the images.
      controls: what steps are given beside.
      networks: generator and discriminator, where it is a GAN.
    """

    cycle: tuple[Step, ...]
    counted_cycle: tuple[Step, ...]
    whole_step: Step
    create_state: Callable[[PRNGKeyArray], PyTree]
    batch_size: int
    resolution: int
    channels: int
    controls: Mapping[str, float]
    networks: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def draw_state(self, key: PRNGKeyArray) -> PyTree:
        """A fresh state in the host's memory, drawn on the CPU, for which its program compiles faster."""
        return draw_on_host(self.create_state, key)

    def create_batch(self, key: PRNGKeyArray) -> dict[str, Array]:
        """A batch of smooth images, with labels; where masks are among the channels, they are of both kinds."""
        image = draw_images(key, self.batch_size, self.resolution, self.channels)
        return {'image': image, 'label': jnp.arange(self.batch_size, dtype=jnp.int32) % 2}


def draw_on_host(create: Callable[..., PyTree], *arguments: Any) -> PyTree:
    """What `create` returns, computed on the CPU."""
    with jax.default_device(jax.devices('cpu')[0]):
        options = {'xla_backend_optimization_level': 0}  # it runs once
        return jax.device_get(jax.jit(create, compiler_options=options)(*arguments))


def draw_images(
    key: PRNGKeyArray, count: int, resolution: int, channels: int
) -> Float[Array, 'count resolution resolution channels']:
    """Smooth random images in [-1, 1]."""
    rough = jax.random.uniform(key, (count, 4, 4, channels), minval=-1, maxval=1)
    return jax.image.resize(rough, (count, resolution, resolution, channels), 'linear')


def create_gan(
    name: str, resolution: int, batch_size: int, dtype: str, *, width: int = 0, compared: bool = False
) -> Subject:
    """A GAN of GANS.

    Args:
      name: of GANS.
      resolution: of its images, all blocks faded in.
      batch_size: 0 for that of the config.
      dtype: see `compute.compute_dtype`.
      width: features of a layer, at most; 0 for those of the config.
      compared: whether it moves by `create_plain_optimizer` instead of the optimizers of its config.
    """
    config = GANS[name]()
    config.resolution, config.compute_dtype = resolution, dtype
    if width:
        _narrow(config, width)
    size = batch_size or config.schedule.batch_size[f'at_{resolution}']
    config.schedule.batch_size[f'at_{resolution}'] = size
    gan = create_gan_recipe(config)
    recipe = _create_step(gan, compared=compared)
    return Subject(
        cycle=create_cycle(recipe),
        counted_cycle=create_cycle(_create_step(create_gan_recipe(_without_loops(config)), compared=compared)),
        whole_step=_whole_step(recipe),
        create_state=functools.partial(gan.create_state, recipe),
        batch_size=size,
        resolution=resolution,
        channels=gan.images.preprocessing.channels,
        controls={'alpha': 1.0, 'images_seen': 10_000.0},
        networks=recipe.networks,
    )


def _create_step(gan: GanRecipe, *, compared: bool) -> StepRecipe:
    recipe = gan.step_at(gan.resolution, gan.image_format(_CLASSES))
    if not compared:
        return recipe
    return dataclasses.replace(recipe, optimizers={name: create_plain_optimizer() for name in recipe.optimizers})


def _without_loops(config: ConfigDict) -> ConfigDict:
    """The config with attention formed as a whole."""
    whole = config.copy_and_resolve_references()
    for network in (whole.generator, whole.discriminator):
        if 'attention_chunk' in network:
            network.attention_chunk = 0
    return whole


def _whole_step(recipe: StepRecipe) -> Step:
    return make_train_step(recipe, with_penalty=recipe.objective.penalty != 'none', with_generator=True)


def _narrow(config: ConfigDict, width: int) -> None:
    limits = {'fmap_max': width, 'max_width': width, 'first_width': width // 2, 'last_width': width // 2}
    for network in (config.generator, config.discriminator):
        for field, value in limits.items():
            if field in network:
                network[field] = min(network[field], value)
        if network.get('attention_resolution', 0):
            network.attention_resolution = max(min(network.attention_resolution, config.resolution), 8)


def create_plain_optimizer() -> optax.GradientTransformation:
    """Gradient descent at a fixed rate, with the last gradients first in its state.

    The first step of Adam has its full length also where a gradient is nothing but rounding, so that equal
    networks part ways; here rounding stays as small as it is.
    """

    def init(params: PyTree) -> PyTree:
        return jax.tree.map(jnp.zeros_like, params)

    def update(gradients: PyTree, state: PyTree, params: Any = None) -> tuple[PyTree, PyTree]:
        del state, params
        return gradients, gradients

    return optax.chain(optax.GradientTransformation(init, update), optax.sgd(_RATE))


def _supervised(
    step: Step, create_state: Callable[[PRNGKeyArray], PyTree], batch_size: int, resolution: int, channels: int
) -> Subject:
    """One network with one step, which is its whole cycle."""
    return Subject((step,), (step,), step, create_state, batch_size, resolution, channels, controls={})


def _with_optimizer(
    create_state: Callable[[PRNGKeyArray], SupervisedState], optimizer: optax.GradientTransformation
) -> Callable[[PRNGKeyArray], SupervisedState]:
    """The same states, with that of another optimizer."""

    def create(key: PRNGKeyArray) -> SupervisedState:
        state = create_state(key)
        network = dataclasses.replace(state.network, opt_state=optimizer.init(state.network.params))
        return dataclasses.replace(state, network=network)

    return create


def create_unet(variant: str, patch: int, batch_size: int, dtype: str, *, compared: bool = False) -> Subject:
    """A U-Net for images with one kind of mask; `compared` as in `create_gan`."""
    recipe = create_unet_recipe(create_unet_config(variant, patch, dtype))
    if compared:
        recipe = dataclasses.replace(recipe, optimizer=create_plain_optimizer())
    return _supervised(make_unet_step(recipe), recipe.create_state, batch_size or recipe.batch_size, patch, 2)


def create_unet_config(variant: str, patch: int, dtype: str) -> ConfigDict:
    """A U-Net's config, its suggestions resolved for this patch."""
    config = unets.create_unet_config(variant, patch)
    config.compute_dtype = dtype
    return config


def create_detector(
    variant: str, resolution: int, batch_size: int, dtype: str, *, compared: bool = False
) -> Subject:
    """A detector, trained without attacks; `compared` as in `create_gan`."""
    recipe = create_detector_recipe(variant, resolution, dtype)
    optimizer = create_plain_optimizer() if compared else recipe.optimizer.create(_STEPS)
    step = make_detector_step(
        recipe.network, optimizer, recipe.augmentation, recipe.degradation, eps=0.0, attack_steps=0
    )
    create_state = _with_optimizer(functools.partial(recipe.create_state, _STEPS), optimizer)
    return _supervised(step, create_state, batch_size or recipe.schedule.batch_size, resolution, recipe.channels)


def create_detector_recipe(variant: str, resolution: int, dtype: str) -> DetectorRecipe:
    """A detector of drawn images."""
    config = detector.get_config(variant)
    config.data.name, config.resolution, config.compute_dtype = 'drawn', resolution, dtype
    return create_recipe_of_detector(config)


def create_classifier(
    variant: str, resolution: int, batch_size: int, dtype: str, *, compared: bool = False
) -> Subject:
    """A classifier of two classes; `compared` as in `create_gan`."""
    recipe = create_classifier_recipe(variant, resolution, dtype)
    optimizer = create_plain_optimizer() if compared else recipe.optimizer.create(_STEPS)
    step = make_classifier_step(recipe.network, optimizer, recipe.augmentation, recipe.label_smoothing)
    create_state = _with_optimizer(functools.partial(recipe.create_state, _STEPS), optimizer)
    return _supervised(step, create_state, batch_size or recipe.schedule.batch_size, resolution, recipe.channels)


def create_classifier_recipe(variant: str, resolution: int, dtype: str) -> ClassifierRecipe:
    """A classifier of two classes."""
    config = classifier.get_config(variant)
    config.resolution, config.compute_dtype = resolution, dtype
    return create_recipe_of_classifier(config).with_classes(2)
