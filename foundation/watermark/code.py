"""The code of the payload: 32 bits as four words of the first-order Reed-Muller code RM(1, 7).

A word has 8 bits and is sent as 128 signs, a row of the Hadamard matrix or its negative; any two words differ in
half of the signs or in all of them. Maximum likelihood is one product with the matrix (MacWilliams and Sloane
1977, "The Theory of Error-Correcting Codes", chapter 14, section 4).
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float

PAYLOAD_BITS = 32
_WORDS, _WORD_BITS, _LENGTH = 4, 8, 128
LENGTH = _WORDS * _LENGTH
_MATRIX = scipy.linalg.hadamard(_LENGTH).astype(float)
_CODEWORDS = np.concatenate([_MATRIX, -_MATRIX])  # by the word's number
_WRONG_BITS = np.array([[(one ^ other).bit_count() for other in range(256)] for one in range(256)])


class Decoded(NamedTuple):
    """A payload, and the share of its bits that are expected to be wrong: 0 to 0.5."""

    payload: int
    bit_error: float


def encode(payload: int) -> Float[np.ndarray, 'LENGTH']:
    """The signs of a payload.

    Raises:
      ValueError: when it has more than 32 bits, or is negative.
    """
    if not 0 <= payload < 2**PAYLOAD_BITS:
        raise ValueError(f'a payload of {PAYLOAD_BITS} bits cannot be {payload}')
    words = [payload >> (_WORD_BITS * word) & 255 for word in range(_WORDS)]
    return _CODEWORDS[words].ravel()


def decode(log_ratios: Float[np.ndarray, 'LENGTH']) -> Decoded:
    """The likeliest payload, where all are as likely before.

    Args:
      log_ratios: of each sign: natural logarithm of how much likelier + is than -.
    """
    payload, wrong = 0, 0.0
    for word, ratios in enumerate(log_ratios.reshape(_WORDS, _LENGTH)):
        likelihoods = _CODEWORDS @ ratios / 2
        best = int(likelihoods.argmax())
        shares = np.exp(likelihoods - likelihoods[best])
        payload |= best << (_WORD_BITS * word)
        wrong += float(shares @ _WRONG_BITS[best] / shares.sum()) / _WORD_BITS
    return Decoded(payload, wrong / _WORDS)
