"""The extractor that the command line names."""

import hashlib
from pathlib import Path

import jax.numpy as jnp
from jaxtyping import Array, Float

from backbones.extractors import Extracted, Extractor, import_extractor, restore_classifier
from backbones.weights import KINDS
from foundation.training.errors import UserError
from foundation.training.state import Variables
from gan.features import LARGEST, SEED, random_features, resized

RANDOM = 'random'


def create_extractor(wanted: str) -> Extractor:
    """`random`, the workdir of a classifier, or KIND=FILE for weights in a file.

    Raises:
      UserError: when it is none of these, or cannot be read.
    """
    kind, separator, file = wanted.partition('=')
    if wanted == RANDOM:
        return _create_random()
    if separator and kind in KINDS:
        return import_extractor(Path(file), kind)
    if Path(wanted).is_dir():
        return restore_classifier(Path(wanted))
    raise UserError(
        f'--extractor={wanted} is no extractor; name the workdir of a classifier (backbones.main), {RANDOM!r}, or '
        f'KIND=FILE with weights, KIND one of {", ".join(KINDS)}.'
    )


def _create_random() -> Extractor:
    """Features of a network that was never trained, see `gan.features`; it has no classes."""

    def extract(variables: Variables, images: Float[Array, 'batch height width channel']) -> Extracted:
        size = max(min(images.shape[1], LARGEST), 16)
        return Extracted(random_features(resized(images, size)), jnp.zeros((len(images), 0)))

    return Extractor(
        name='random features',
        checksum=hashlib.sha256(f'random features {SEED}'.encode()).hexdigest(),
        resize=f'to at most {LARGEST}x{LARGEST} pixels by means of squares, to at least 16x16 by repetition',
        classes=(),
        channels=(),
        temperature=1.0,
        is_fid=False,
        variables={},
        extract=extract,
    )
