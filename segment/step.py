"""One update of a segmenter: plain single-device mathematics on a global batch."""

from collections.abc import Callable

import jax
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from foundation.training.state import Variables
from foundation.training.supervised import Batch, Metrics, SupervisedState, make_supervised_step
from input_pipeline import split_masks
from segment.augmentation import SegmentationAugmentation, augment
from segment.losses import LossWeights, dice_loss, supervise_deeply
from segment.networks import UNet
from segment.patches import cut_patches

BATCH_STATS = 'batch_stats'


def split_batch(
    joined: Float[Array, 'batch height width joined'], num_classes: int
) -> tuple[Float[Array, 'batch height width channel'], Int[Array, 'batch height width']]:
    """Images and class ids of a batch whose masks are the last channels."""
    images, ids = split_masks(joined, joined.shape[-1] - (num_classes - 1), num_classes - 1)
    return images, ids[..., 0].astype('int32')


def make_train_step(
    network: UNet,
    optimizer: optax.GradientTransformation,
    weights: LossWeights,
    augmentation: SegmentationAugmentation,
    *,
    patch: int,
    foreground_share: float,
) -> Callable[..., tuple[SupervisedState, Metrics]]:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`."""

    def loss(params: PyTree, model_state: Variables, batch: Batch, key: PRNGKeyArray):
        cut_key, augment_key = jax.random.split(key)
        images, ids = split_batch(batch['image'], network.num_classes)
        images, ids = cut_patches(images, ids, patch, foreground_share, cut_key)
        images, ids = augment(augmentation, images, ids, network.num_classes, augment_key)
        logits, moved = network.apply({'params': params, **model_state}, images, train=True, mutable=[BATCH_STATS])
        return supervise_deeply(weights, logits, ids), (moved, {'soft_dice': 1 - dice_loss(logits[0], ids).mean()})

    return make_supervised_step(loss, optimizer)


def make_predict(network: UNet) -> Callable[[Variables, Array], Float[Array, 'batch height width classes']]:
    """Returns `predict(variables, images)`: the probability of each class at each pixel, traced."""

    def predict(variables: Variables, images: Array) -> Float[Array, 'batch height width classes']:
        return jax.nn.softmax(network.apply(variables, images)[0], axis=-1)

    return predict
