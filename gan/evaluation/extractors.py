"""The extractor that the command line names."""

import functools
import hashlib
import operator
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from backbones.extractors import Extracted, Extractor, import_extractor, restore_extractor
from backbones.images import ImageRequest
from backbones.radiomics import DIAGNOSTICS, FEATURES, describe_images
from backbones.weights import KINDS
from configs.backbones import self_supervised
from foundation.training import launch
from foundation.training.errors import UserError
from gan.features import LARGEST, SEED, random_features, resized

RANDOM = 'random'
_SIZES = (16, 32, 64, 128)  # pixels a side of the small encoder that is suggested, which larger images slow down
RADIOMICS = {'radiomics': FEATURES, 'frd-score': (*DIAGNOSTICS, *FEATURES)}


def create_extractor(wanted: str, named_by: str = '--extractor') -> Extractor:
    """`random`, `radiomics`, `frd-score`, a workdir of `backbones.main`, or KIND=FILE for weights in a file.

    Args:
      wanted: see above.
      named_by: the flag or field that names it, for what is refused.

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
        return restore_extractor(Path(wanted))
    raise UserError(
        f'{named_by}={wanted} is no extractor; name a workdir of backbones.main, {RANDOM!r}, '
        f'{", ".join(map(repr, RADIOMICS))}, or KIND=FILE with weights, KIND one of {", ".join(KINDS)}.'
    )


def suggest_training(images: ImageRequest, workdir: Path) -> str:
    """The command that trains an extractor without labels on the images of a run, beside its workdir."""
    form = images.preprocessing
    fields: dict[str, Any] = {'data.name': images.name}
    fields |= {'data.window': form.window} if isinstance(form.window, str) else {}
    fields |= {'data.pixels': form.pixels} if isinstance(form.pixels, str) else {}
    fields |= {'data.data_dir': images.data_dir, 'data.modalities': images.modalities, 'data.fit': form.fit}
    fields |= {'data.classes': images.classes}
    fields['resolution'] = min((size for size in _SIZES if size >= form.resolution), default=_SIZES[-1])
    if not isinstance(form.window, str):
        fields |= {'data.window': 'physical', 'data.window_range': form.window}
    if not isinstance(form.pixels, str):
        fields |= {'data.pixels': 'resampled', 'data.pixel_size': form.pixels}
    config = self_supervised.get_config()
    config.data.name = ''  # it is always told
    told = [f'--config.{name}={value}' for name, value in fields.items() if value != _find(config, name)]
    command = [launch.python(), '-m', 'backbones.main', '--config=configs/backbones/self_supervised.py', *told]
    return shlex.join([*command, f'--workdir={workdir.parent / "encoder"}'])


def _find(config: ConfigDict, name: str) -> Any:
    """The value of a field by its dotted name."""
    return functools.reduce(operator.getitem, name.split('.'), config)


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
