"""Batches by Poisson sampling, as differential privacy counts on: who is in a batch is decided by coins."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Int32, Int64

from input_pipeline.counters import hash_counters, mix

_CHOSEN, _MEMBER, _NOISE = 4, 5, 6  # separate streams of one secret


@dataclasses.dataclass(frozen=True, eq=False)
class PoissonSampling:
    """Each unit, an image or a patient, is part of each batch by a coin of its own.

    A chosen patient gives one image, drawn anew each time. The size of a batch varies, its room does not: the rest
    of it is padding. A batch that would not fit is left empty. So a unit that is in a batch never takes the place
    of another: given the coins of all others, it is there with `probability`, or it makes no difference.

    Attributes:
      secret: 64 bits. Who knows them knows who was in which batch, and the noise.
      units: the number of each example's unit, from 0 on.
      probability: of the coins, above 0 and below 1.
      batch_size: rows of a batch, padding among them.
      begin: position of the first row of the first batch.
    """

    secret: int
    units: Int64[np.ndarray, ' examples']
    probability: float
    batch_size: int
    begin: int

    def select(self, position: int, count: int) -> dict[str, np.ndarray]:
        """What lies at `position` to `position + count - 1`: a pure function of these and the secret.

        Returns:
          `index` int32 (count,) of the examples, `valid` bool (count,), False where a row is padding, and
          `noise_key` uint32 (count, 2), the same in all rows of a batch.
        """
        offset = position - self.begin
        first, last = offset // self.batch_size, (offset + count - 1) // self.batch_size
        rows = [self._lay_out(self.begin + number * self.batch_size) for number in range(first, last + 1)]
        start = offset - first * self.batch_size
        return {name: np.concatenate([row[name] for row in rows])[start : start + count] for name in rows[0]}

    def _lay_out(self, start: int) -> dict[str, np.ndarray]:
        examples = _draw_batch(self, start)
        noise = hash_counters(self.secret, _NOISE, np.array([start])).view(np.uint32)
        return {
            'index': np.pad(examples, (0, self.batch_size - len(examples))),
            'valid': np.arange(self.batch_size) < len(examples),
            'noise_key': np.tile(noise, (self.batch_size, 1)),
        }

    @functools.cached_property
    def _members(
        self,
    ) -> tuple[Int64[np.ndarray, ' examples'], Int64[np.ndarray, ' units'], Int64[np.ndarray, ' units']]:
        """Examples by unit, where each unit's begin among them, and how many it has."""
        sizes = np.bincount(self.units)
        return np.argsort(self.units, kind='stable'), np.cumsum(sizes) - sizes, sizes


@functools.lru_cache(maxsize=4)  # rows that are read one by one ask for the same batch
def _draw_batch(sampling: PoissonSampling, start: int) -> Int32[np.ndarray, ' chosen']:
    """The examples of the batch whose first row is at this position."""
    members, begins, sizes = sampling._members
    coins, picks = (
        mix(
            hash_counters(sampling.secret, stream, np.array([start]))
            ^ mix(np.arange(len(sizes)).astype(np.uint64))
        )
        for stream in (_CHOSEN, _MEMBER)
    )
    chosen = np.flatnonzero(coins < np.uint64(int(sampling.probability * 2**64)))
    if len(chosen) > sampling.batch_size:
        chosen = chosen[:0]
    picked = (picks[chosen] % sizes[chosen].astype(np.uint64)).astype(np.int64)
    return members[begins[chosen] + picked].astype(np.int32)
