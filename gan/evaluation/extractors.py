"""The extractor that the command line names."""

import hashlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from backbones.extractors import Extracted, Extractor, import_extractor, restore_classifier
from backbones.radiomics import DIAGNOSTICS, FEATURES, describe_images
from backbones.weights import KINDS
from foundation.training.errors import UserError
from foundation.training.state import Variables
from gan.features import LARGEST, SEED, random_features, resized

RANDOM = 'random'
RADIOMICS = {'radiomics': FEATURES, 'frd-score': (*DIAGNOSTICS, *FEATURES)}


def create_extractor(wanted: str) -> Extractor:
    """`random`, `radiomics`, `frd-score`, the workdir of a classifier, or KIND=FILE for weights in a file.

    Raises:
      UserError: when it is none of these, or cannot be read.
    """
    kind, separator, file = wanted.partition('=')
    if wanted == RANDOM:
        return _create_random()
    if wanted in RADIOMICS:
        return _create_radiomics(wanted)
    if separator and kind in KINDS:
        return import_extractor(Path(file), kind)
    if Path(wanted).is_dir():
        return restore_classifier(Path(wanted))
    raise UserError(
        f'--extractor={wanted} is no extractor; name the workdir of a classifier (backbones.main), {RANDOM!r}, '
        f'{", ".join(map(repr, RADIOMICS))}, or KIND=FILE with weights, KIND one of {", ".join(KINDS)}.'
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


def _create_radiomics(name: str) -> Extractor:
    """Features of the Frechet radiomic distance, see `backbones.radiomics`; they have no classes."""
    measures = RADIOMICS[name]

    def extract(
        variables: Variables, images: Float[Array | np.ndarray, 'batch height width channel']
    ) -> Extracted:
        described = describe_images(np.asarray(images), diagnostics=len(measures) > len(FEATURES))
        return Extracted(jnp.asarray(described), jnp.zeros((len(images), 0)))

    return Extractor(
        name={'radiomics': 'radiomic features', 'frd-score': 'radiomic features and diagnostics'}[name],
        checksum=hashlib.sha256(' '.join(measures).encode()).hexdigest(),
        resize='to half of the pixels, by cubic B-splines',
        classes=(),
        channels=(),
        temperature=1.0,
        is_fid=False,
        variables={},
        extract=extract,
        measures=measures,
    )
