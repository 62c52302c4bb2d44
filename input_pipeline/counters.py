"""Random numbers that are functions of a seed and a counter, the same on every machine."""

import numpy as np
from jaxtyping import Shaped, UInt64


def mix(values: UInt64[np.ndarray, '*shape']) -> UInt64[np.ndarray, '*shape']:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014): a bijection that scatters neighbours."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_counters(seed: int, stream: int, counters: Shaped[np.ndarray, '*shape']) -> UInt64[np.ndarray, '*shape']:
    """Random 64-bit numbers from a counter; the same on every machine and with every NumPy version."""
    key = mix(mix(np.array([seed % 2**64], np.uint64)) + np.uint64(stream))
    return mix(key ^ mix(counters.astype(np.uint64)))
