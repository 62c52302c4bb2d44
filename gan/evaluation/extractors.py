"""The extractor that the command line names."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from backbones.extractors import Extracted, Extractor, import_extractor, restore_classifier
from backbones.radiomics import DIAGNOSTICS, FEATURES, describe_images
from backbones.weights import KINDS
from foundation.training.errors import UserError
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
    """Features of a network that was never trained, see `gan.features`."""

    def extract(images: Float[Array, 'batch height width channel']) -> Float[Array, 'batch feature']:
        size = max(min(images.shape[1], LARGEST), 16)
        return random_features(resized(images, size))

    resize = f'to at most {LARGEST}x{LARGEST} pixels by means of squares, to at least 16x16 by repetition'
    return _without_weights('random features', f'random features {SEED}', resize, extract, ())


def _create_radiomics(name: str) -> Extractor:
    """Features of the Frechet radiomic distance, see `backbones.radiomics`."""
    measures, diagnostics = RADIOMICS[name], name == 'frd-score'

    def extract(images: Float[Array | np.ndarray, 'batch height width channel']) -> Float[Array, 'batch feature']:
        return jnp.asarray(describe_images(np.asarray(images), diagnostics=diagnostics))

    shown = 'radiomic features and diagnostics' if diagnostics else 'radiomic features'
    resize = 'to half of the pixels, by cubic B-splines'
    return _without_weights(shown, ' '.join(measures), resize, extract, measures)


def _without_weights(
    name: str, decides: str, resize: str, extract: Callable[..., Array], measures: tuple[str, ...]
) -> Extractor:
    """An extractor that needs no file, takes images of any channels, and has no classes.

    Args:
      name, resize, measures: see `Extractor`.
      decides: text that changes whenever the features do.
      extract: the features of images.
    """
    return Extractor(
        name=name,
        checksum=hashlib.sha256(decides.encode()).hexdigest(),
        resize=resize,
        classes=(),
        channels=(),
        temperature=1.0,
        is_fid=False,
        variables={},
        extract=lambda variables, images: Extracted(extract(images), jnp.zeros((len(images), 0))),
        measures=measures,
    )
