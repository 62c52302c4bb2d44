"""What a segmenter is trained on: the loss of each image by itself, then their mean, whatever the batch."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

Logits = Float[Array, 'batch height width classes']
Ids = Int[Array, 'batch height width']


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
    return optax.losses.dice_loss(logits, targets, smooth=1.0, ignore_background=True)


def cross_entropy(logits: Logits, ids: Ids, focal_gamma: float, boundary: float) -> Float[Array, 'batch']:
    """Mean over the pixels of each image, in nats; see `LossWeights`."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, ids)
    if focal_gamma:
        # Not 0, where the slope of a power below 1 is infinite.
        wrong = jnp.maximum(-jnp.expm1(-losses), jnp.finfo(losses.dtype).tiny)
        losses = losses * wrong**focal_gamma
    if boundary:
        counts = 1 + boundary * beside_boundary(ids)
        return (counts * losses).sum(axis=(1, 2)) / counts.sum(axis=(1, 2))
    return losses.mean(axis=(1, 2))


def beside_boundary(ids: Ids) -> Float[Array, 'batch height width']:
    """1 where one of the eight pixels around has another class, else 0."""
    padded = jnp.pad(ids, [(0, 0), (1, 1), (1, 1)], mode='edge')
    height, width = ids.shape[1:]
    places = [(row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1)]
    around = [padded[:, row : row + height, column : column + width] != ids for row, column in places]
    return jnp.any(jnp.stack(around), axis=0).astype(jnp.float32)


def supervise_deeply(
    weights: LossWeights, logits: tuple[Float[Array, 'batch _ _ classes'], ...], ids: Ids
) -> Float[Array, '']:
    """The loss at each resolution, where each halving counts half, the weights adding up to 1.

    Lower resolutions are compared with the pixels of the masks in the middle of each of theirs (nnU-Net, deep
    supervision).

    Args:
      weights: of the parts.
      logits: the full resolution first, then that of the padded image halved once, and so on.
      ids: the true classes at full resolution.
    """
    total, loss = 0.0, jnp.zeros(())
    for level, own in enumerate(logits):
        share = 0.5**level
        loss += share * segmentation_loss(weights, own, _shrink(ids, 2**level, own.shape[1], own.shape[2]))
        total += share
    return loss / total


def _shrink(ids: Ids, step: int, height: int, width: int) -> Int[Array, 'batch _ _']:
    """The middle one of every `step` pixels, of masks padded like their images."""
    spare = (height * step - ids.shape[1], width * step - ids.shape[2])
    padded = jnp.pad(ids, [(0, 0), (0, spare[0]), (0, spare[1])])
    return padded[:, step // 2 :: step, step // 2 :: step]
