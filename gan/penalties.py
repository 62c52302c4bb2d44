"""Penalties on networks: slopes of a discriminator, exact or by differences, and bounds on weights."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gan.losses import Logits, Scalar

Images = Float[Array, 'batch height width channel']
Critic = Callable[[Images], Logits]
# Of a critic, images, a key, and the logits of the images where they are known: the squared slope at each image.
SquaredSlopes = Callable[[Critic, Images, PRNGKeyArray, Logits | None], Logits]
DIFFERENCE = 0.01  # length of a step in each pixel, of images in [-1, 1]


def squared_gradient_norms(critic: Critic, images: Images) -> Logits:
    """Squared Euclidean norm of the critic's gradient at each image."""
    gradients = jax.grad(lambda points: critic(points).sum())(images)
    return jnp.sum(jnp.square(gradients.astype(jnp.float32)), axis=(1, 2, 3))


def exact_slopes(critic: Critic, images: Images, key: PRNGKeyArray, logits: Logits | None) -> Logits:
    """`squared_gradient_norms`; no randomness."""
    del key, logits
    return squared_gradient_norms(critic, images)


def difference_slopes(critic: Critic, images: Images, key: PRNGKeyArray, logits: Logits | None) -> Logits:
    """[(D(x + e n) - D(x)) / e]^2 at each image, for one n ~ N(0, I): its mean over n estimates |grad D(x)|^2.

    No gradient of a gradient is formed. The critic must compute in float32: the two logits differ little.
    """
    directions = jax.random.normal(key, images.shape, jnp.float32)
    here = critic(images) if logits is None else logits
    return jnp.square((critic(images + DIFFERENCE * directions) - here) / DIFFERENCE)


SLOPES: dict[str, SquaredSlopes] = {'exact': exact_slopes, 'differences': difference_slopes}


def gradient_penalty(critic: Critic, real: Images, fake: Images, key: PRNGKeyArray, target: float) -> Scalar:
    """E[(|grad D(x)| - target)^2] / target^2 at one random mix x of each pair (Gulrajani et al. 2017, eq. 3).

    With the usual target of 1 this is WGAN-GP; PGGAN's CIFAR-10 run used 750.
    """
    mix = jax.random.uniform(key, (real.shape[0], 1, 1, 1), real.dtype)
    squared = squared_gradient_norms(critic, real + mix * (fake - real))
    # The constant keeps the square root differentiable where the critic is flat.
    return jnp.square(jnp.sqrt(squared + 1e-12) - target).mean() / target**2


def zero_centred_penalty(
    slopes: SquaredSlopes, critic: Critic, images: Images, key: PRNGKeyArray, logits: Logits | None = None
) -> Scalar:
    """E[|grad D(x)|^2] / 2: R1 at real images, R2 at fakes (Mescheder et al. 2018, arXiv:1801.04406, eq. 9)."""
    return slopes(critic, images, key, logits).mean() / 2


def orthogonal_penalty(params: PyTree) -> Scalar:
    """Sum over all kernels of |W^T W without its diagonal|^2 (Brock et al. 2019, arXiv:1809.11096, equation 3).

    Each column of W is one output's weights: outputs shall differ in direction, whatever their lengths. Classes'
    embeddings, gains and biases are no kernels.
    """
    total = jnp.zeros(())
    for path, kernel in traverse_util.flatten_dict(params).items():
        if path[-1] == 'kernel':
            columns = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.float32)
            products = columns.T @ columns
            total += jnp.square(products - jnp.diag(jnp.diag(products))).sum()
    return total


def path_lengths(
    draw: Callable[[Float[Array, 'batch *layers latent']], Images],
    styles: Float[Array, 'batch *layers latent'],
    key: PRNGKeyArray,
) -> Logits:
    """|J^T y| at each style, y ~ N(0, I / pixels) an image (Karras et al. 2020, arXiv:1912.04958, equation 4).

    Where every layer has a style of its own, squares are averaged over the layers.
    """
    images, pull_back = jax.vjp(draw, styles)
    noise = jax.random.normal(key, images.shape, images.dtype) / (images.shape[1] * images.shape[2]) ** 0.5
    (gradients,) = pull_back(noise)
    return jnp.sqrt(jnp.square(gradients.astype(jnp.float32)).sum(axis=-1).reshape(len(styles), -1).mean(axis=1))


def keep_weights_within(limit: float) -> optax.GradientTransformation:
    """Weight clipping: no parameter leaves [-limit, limit] (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1).

    The last of a chain, since it changes steps by where they lead.
    """

    def update(steps: PyTree, state: optax.EmptyState, params: PyTree) -> tuple[PyTree, optax.EmptyState]:
        kept = jax.tree.map(lambda step, weight: jnp.clip(weight + step, -limit, limit) - weight, steps, params)
        return kept, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
