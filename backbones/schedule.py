"""How long a network is trained on labels, and at which rates."""

import dataclasses

import optax

from foundation.training.errors import UserError


@dataclasses.dataclass(frozen=True)
class EpochSchedule:
    """The length of a training.

    Attributes:
      epochs: passes over the training split.
      batch_size: images (or volumes) of the global batch.
      watch_epochs: between two looks at the validation split.
    """

    epochs: int
    batch_size: int
    watch_epochs: int

    def steps(self, num_examples: int) -> int:
        """Steps of the whole training.

        Raises:
          UserError: when there are fewer images than a batch has.
        """
        return self._epoch(num_examples) * self.epochs

    def images_between_looks(self, num_examples: int) -> int:
        """Images from one look at the validation split to the next, a whole number of batches."""
        return self._epoch(num_examples) * self.watch_epochs * self.batch_size

    def _epoch(self, num_examples: int) -> int:
        if num_examples < self.batch_size:
            raise UserError(
                f'config.schedule.batch_size is {self.batch_size}, but there are {num_examples} training images; '
                'make it smaller.'
            )
        return num_examples // self.batch_size


@dataclasses.dataclass(frozen=True)
class CosineAdam:
    """AdamW whose rate rises over the first steps, and then falls to 0 along a cosine.

    Attributes:
      learning_rate: the highest.
      weight_decay: of all weights, times the rate.
      warmup: share of all steps in which the rate rises.
    """

    learning_rate: float
    weight_decay: float
    warmup: float

    def create(self, steps: int) -> optax.GradientTransformation:
        """The optimizer of a training of so many steps."""
        rising = max(int(self.warmup * steps), 1)
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, rising, max(steps, rising + 1))
        return optax.adamw(rate, weight_decay=self.weight_decay)
