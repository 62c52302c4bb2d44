"""Values that change while training goes on, along half a cosine or a line, from a start to an end."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Annealing:
    """One curve for all that changes: a cosine (Huang et al. 2024, arXiv:2501.05441, appendix), or a line.

    Attributes:
      images: after which the end is reached.
      learning_rate: share of the learning rates at the end.
      b2: of Adam, at the start.
      half_life: of the running mean in images, at the start.
      penalty: share of the penalty's weight at the end.
      augmentation: probability of augmentations, at the start and at the end.
      shape: cosine or linear.
      constant: share of the images before anything changes.
    """

    images: int
    learning_rate: float
    b2: float
    half_life: float
    penalty: float
    augmentation: tuple[float, float]
    shape: str
    constant: float

    def between(self, start: float, end: float, images_seen: Array | float) -> Float[Array, '']:
        """The value after so many images."""
        passed = jnp.clip((images_seen / self.images - self.constant) / (1 - self.constant), 0.0, 1.0)
        left = 1 - passed if self.shape == 'linear' else 0.5 * (1 + jnp.cos(jnp.pi * passed))
        return end + (start - end) * left
