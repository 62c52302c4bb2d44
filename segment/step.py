"""One update of a segmenter: plain single-device mathematics on a global batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from foundation.training.state import Variables
from foundation.training.supervised import Batch, Metrics, SupervisedState, make_supervised_step
from input_pipeline import split_masks
from segment.augmentation import augment, augment_volumes
from segment.losses import dice_loss, supervise_deeply
from segment.networks import UNet
from segment.patches import cut_patches
from segment.recipe import Recipe

BATCH_STATS = 'batch_stats'


def split_batch(
    joined: Float[Array, 'batch height width joined'], num_classes: int
) -> tuple[Float[Array, 'batch height width channel'], Int[Array, 'batch height width']]:
    """Images and class ids of a batch whose masks are the last channels."""
    images, ids = split_masks(joined, joined.shape[-1] - (num_classes - 1), num_classes - 1)
    return images, ids[..., 0].astype('int32')


def make_train_step(recipe: Recipe) -> Callable[..., tuple[SupervisedState, Metrics]]:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`."""
    if recipe.volume_patch is not None:
        return _make_volume_step(recipe)
    network, share = recipe.network, recipe.images.foreground_share

    def loss(params: PyTree, model_state: Variables, batch: Batch, key: PRNGKeyArray):
        cut_key, augment_key = jax.random.split(key)
        images, ids = split_batch(batch['image'], network.num_classes)
        images, ids = cut_patches(images, ids, recipe.patch, share, cut_key)
        images, ids = augment(recipe.augmentation, images, ids, network.num_classes, augment_key)
        logits, moved = network.apply({'params': params, **model_state}, images, train=True, mutable=[BATCH_STATS])
        metrics = {'soft_dice': 1 - dice_loss(logits[0], ids).mean()}
        return supervise_deeply(recipe.loss, logits, ids, network.strides), (moved, metrics)

    return make_supervised_step(loss, recipe.optimizer)


def _make_volume_step(recipe: Recipe) -> Callable[..., tuple[SupervisedState, Metrics]]:
    """The same of patches of volumes, which come cut; ids of what is padded become the number of classes."""
    network = recipe.network

    def loss(params: PyTree, model_state: Variables, batch: Batch, key: PRNGKeyArray):
        outside = network.num_classes
        ids = jnp.minimum(batch['ids'].astype('int32'), outside)
        volumes, ids = augment_volumes(recipe.augmentation, batch['image'], ids, outside + 1, key)
        logits, moved = network.apply(
            {'params': params, **model_state}, volumes, train=True, mutable=[BATCH_STATS]
        )
        metrics = {'soft_dice': 1 - dice_loss(logits[0], ids).mean()}
        return supervise_deeply(recipe.loss, logits, ids, network.strides), (moved, metrics)

    return make_supervised_step(loss, recipe.optimizer)


def make_predict(network: UNet) -> Callable[[Variables, Array], Float[Array, 'batch *space classes']]:
    """Returns `predict(variables, images)`: the probability of each class at each pixel, traced."""

    def predict(variables: Variables, images: Array) -> Float[Array, 'batch *space classes']:
        return jax.nn.softmax(network.apply(variables, images)[0], axis=-1)

    return predict
