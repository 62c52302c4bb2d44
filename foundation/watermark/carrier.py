"""What the key decides: the sign of every chip, and which chips carry which sign of the payload's code.

A chip is a square of two pixels at the level's size, and the pixels that these become in larger images. A quarter
of the chips are pilots, whose signs do not depend on the payload.
"""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from foundation.training.errors import UserError
from foundation.watermark.code import LENGTH, PAYLOAD_BITS, encode

CHIP = 2  # pixels at the level's size
# Bits of the payload by level: the longer side in pixels at which the mark is looked for. An image has the largest
# level that it reaches; with no bits, all chips are pilots.
BITS = {256: PAYLOAD_BITS, 128: PAYLOAD_BITS, 64: 0}
SMALLEST = min(BITS)
_PILOT_SHARE = 0.25
_FEWEST, _MOST = 16, 2**20  # bytes of a key


@dataclasses.dataclass(frozen=True)
class MarkKey:
    """A secret; whoever has it can find marks, imitate and remove them."""

    secret: bytes = dataclasses.field(repr=False)

    def stream(self, purpose: str, count: int) -> bytes:
        """So many bytes of SHAKE-256 (FIPS 202), others for each purpose."""
        return hashlib.shake_256(hashlib.sha256(self.secret).digest() + purpose.encode()).digest(count)

    @property
    def name(self) -> str:
        """Tells keys apart, and nothing about them, as long as they were drawn at random."""
        return self.stream('name', 8).hex()


def read_key(path: Path) -> MarkKey:
    """The bytes of a file as a key.

    Raises:
      UserError: when there is none, or it has fewer than 16 bytes, or more than a MiB.
    """
    if not path.is_file():
        raise UserError(f'There is no key at {path}; make one: head -c 32 /dev/urandom > {path}')
    with path.open('rb') as file:
        secret = file.read(_MOST + 1)
    if not _FEWEST <= len(secret) <= _MOST:
        raise UserError(
            f'{path} has {"more" if len(secret) > _MOST else "fewer"} bytes than a key may have, {_FEWEST} to '
            f'{_MOST}; name another file, or make one: head -c 32 /dev/urandom > watermark.key'
        )
    return MarkKey(secret)


@dataclasses.dataclass(frozen=True, eq=False)
class Carrier:
    """The chips of one level.

    Attributes:
      side: of the level, in pixels.
      signs: of the chips, -1 or 1.
      places: of the chip's sign in the code; -1 for pilots.
    """

    side: int
    signs: Float[np.ndarray, 'grid grid']
    places: Int[np.ndarray, 'grid grid']

    @property
    def pilots(self) -> Bool[np.ndarray, 'grid grid']:
        """Chips that carry nothing of the payload."""
        return self.places < 0

    def modulate(self, payload: int) -> Float[np.ndarray, 'grid grid']:
        """The signs of the chips of a marked image."""
        if not BITS[self.side]:
            return self.signs
        return self.signs * np.where(self.pilots, 1, encode(payload)[self.places])


def level_of(height: int, width: int) -> int | None:
    """The level that an image of this size is marked at; None where it is too small."""
    return max((side for side in BITS if side <= max(height, width)), default=None)


@functools.lru_cache(maxsize=8)
def create_carrier(key: MarkKey, side: int) -> Carrier:
    """The carrier of a level: signs are independent fair coins to whoever has not the key."""
    grid = side // CHIP
    count = grid**2
    bits = np.unpackbits(np.frombuffer(key.stream(f'signs {side}', -(-count // 8)), np.uint8))[:count]
    places = np.full(count, -1)
    if BITS[side]:
        # Sorting random numbers shuffles the chips, so that each sign of the code is everywhere in the image.
        shuffled = np.frombuffer(key.stream(f'order {side}', 8 * count), '<u8').argsort()
        carrying = shuffled[int(_PILOT_SHARE * count) :]
        places[carrying] = np.arange(len(carrying)) % LENGTH
    return Carrier(side, 1.0 - 2.0 * bits.reshape(grid, grid), places.reshape(grid, grid))
