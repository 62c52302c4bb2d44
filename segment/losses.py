"""What a segmenter is trained on: the loss of each image by itself, then their mean, whatever the batch.

Images may be volumes. Where these were padded, the ids of their masks are the number of classes: such pixels count
nowhere.
"""

import dataclasses
import itertools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

Logits = Float[Array, 'batch *space classes']
Ids = Int[Array, 'batch *space']


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """What the loss is made of.

    Attributes:
      dice: weight of the soft Dice loss of the foreground classes.
      cross_entropy: weight of the cross-entropy.
      focal_gamma: 0 for plain cross-entropy; above, pixels that are right already count less (Lin et al. 2017,
        arXiv:1708.02002, equation 4).
      boundary: by how much more pixels beside another class count in the cross-entropy; 0 for all alike.
    """

    dice: float
    cross_entropy: float
    focal_gamma: float
    boundary: float


def segmentation_loss(weights: LossWeights, logits: Logits, ids: Ids) -> Float[Array, '']:
    """Weighted sum of Dice loss and cross-entropy, the mean over the images.

    Args:
      weights: of the parts.
      logits: of all classes, the background first.
      ids: the true class of each pixel.
    """
    return (
        weights.dice * dice_loss(logits, ids).mean()
        + weights.cross_entropy * cross_entropy(logits, ids, weights.focal_gamma, weights.boundary).mean()
    )


def dice_loss(logits: Logits, ids: Ids) -> Float[Array, 'batch']:
    """1 - soft Dice, the mean over the foreground classes of each image (Milletari et al. 2016, arXiv:1606.04797).

    One pixel is added above and below the line, so that an image without a class has a finite gradient, and a loss
    near 0 where none of it is predicted.
    """
    targets = jax.nn.one_hot(ids, logits.shape[-1])
    if not _is_volume(ids):
        return optax.losses.dice_loss(logits, targets, smooth=1.0, ignore_background=True)
    probabilities = jax.nn.softmax(logits, axis=-1) * (ids < logits.shape[-1])[..., None]
    both, predicted, true = (
        own[..., 1:].sum(axis=_space(ids)) for own in (probabilities * targets, probabilities, targets)
    )
    return (1 - (both + 1) / ((predicted + true) / 2 + 1)).mean(axis=-1)


def cross_entropy(logits: Logits, ids: Ids, focal_gamma: float, boundary: float) -> Float[Array, 'batch']:
    """Mean over the pixels of each image, in nats; see `LossWeights`."""
    inside = ids < logits.shape[-1]
    if _is_volume(ids):
        ids = jnp.where(inside, ids, 0)  # padding has an id that no logit has
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, ids)
    if focal_gamma:
        # Not 0, where the slope of a power below 1 is infinite.
        wrong = jnp.maximum(-jnp.expm1(-losses), jnp.finfo(losses.dtype).tiny)
        losses = losses * wrong**focal_gamma
    counts = 1 + boundary * beside_boundary(ids, inside) if boundary else None
    if _is_volume(ids):
        counts = inside * (1.0 if counts is None else counts)
        return (counts * losses).sum(axis=_space(ids)) / jnp.maximum(counts.sum(axis=_space(ids)), 1.0)
    if counts is not None:
        return (counts * losses).sum(axis=(1, 2)) / counts.sum(axis=(1, 2))
    return losses.mean(axis=(1, 2))


def _is_volume(ids: Ids) -> bool:
    """Images are never padded where they are cut, so that nothing has to be left out."""
    return ids.ndim > 3


def _space(ids: Ids) -> tuple[int, ...]:
    return tuple(range(1, ids.ndim))


def beside_boundary(ids: Ids, inside: Bool[Array, 'batch *space']) -> Float[Array, 'batch *space']:
    """1 where one of the pixels around, eight or twenty-six, has another class, else 0; padding has none.

    Args:
      ids: of classes.
      inside: what is no padding.
    """
    edges = [(0, 0), *[(1, 1)] * (ids.ndim - 1)]
    padded, held = jnp.pad(ids, edges, mode='edge'), jnp.pad(inside, edges, mode='edge')
    found = []
    for place in itertools.product(range(3), repeat=ids.ndim - 1):
        around = (slice(None), *(slice(own, own + size) for own, size in zip(place, ids.shape[1:], strict=True)))
        if set(place) != {1}:
            found.append((padded[around] != ids) & held[around])
    return jnp.any(jnp.stack(found), axis=0).astype(jnp.float32)


def supervise_deeply(
    weights: LossWeights,
    logits: tuple[Float[Array, 'batch *_ classes'], ...],
    ids: Ids,
    strides: Sequence[tuple[int, ...]],
) -> Float[Array, '']:
    """The loss at each resolution, where each halving counts half, the weights adding up to 1.

    Lower resolutions are compared with the pixels of the masks in the middle of each of theirs (nnU-Net, deep
    supervision).

    Args:
      weights: of the parts.
      logits: the full resolution first, then that of the padded image halved once, and so on.
      ids: the true classes at full resolution.
      strides: by how much each axis shrinks from one resolution to the next.
    """
    total, loss, steps = 0.0, jnp.zeros(()), (1,) * (ids.ndim - 1)
    fill = logits[0].shape[-1] if _is_volume(ids) else 0
    for level, own in enumerate(logits):
        if level:
            steps = tuple(map(operator.mul, steps, strides[level - 1]))
        share = 0.5**level
        loss += share * segmentation_loss(weights, own, _shrink(ids, steps, own.shape[1:-1], fill))
        total += share
    return loss / total


def _shrink(ids: Ids, steps: tuple[int, ...], size: tuple[int, ...], fill: int) -> Int[Array, 'batch *_']:
    """The middle one of so many pixels along each axis, of masks padded like their images."""
    spare = [(0, own * step - have) for own, step, have in zip(size, steps, ids.shape[1:], strict=True)]
    padded = jnp.pad(ids, [(0, 0), *spare], constant_values=fill)
    return padded[:, *(slice(step // 2, None, step) for step in steps)]
