"""Independent random streams of one patient, so that any image can be drawn alone."""

import enum

import numpy as np


class Purpose(enum.IntEnum):
    """What a stream decides. Streams never share numbers: a lesion leaves the anatomy around it as it was."""

    ANATOMY = 0
    SLICE = 1
    TEXTURE = 2
    LESION = 3
    NOISE = 4


def create_generator(patient_seed: int, purpose: Purpose, slice_index: int) -> np.random.Generator:
    """Counter-based generator of one purpose in one slice.

    Args:
      patient_seed: key of the Philox cipher, in [0, 2**128).
      purpose: chooses a part of the counter space of 2**128 numbers.
      slice_index: likewise; 0 for what all slices of the patient share.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    counter = np.array([0, 0, int(purpose), slice_index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=patient_seed, counter=counter))
