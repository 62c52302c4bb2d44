"""Anomaly scores that `gan.encode` wrote: of BiGAN, which draws an image again from its code."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from foundation.training.errors import UserError

CODES_FILE = 'codes.npz'
_SCORES = 'anomaly_scores'
_LARGEST = 2**32  # bytes of the file


def read_given(texts: Sequence[str], taken: Sequence[str]) -> dict[str, Path]:
    """Folders of codes by the name of their score, each given as NAME=FOLDER.

    Args:
      texts: as given on the command line.
      taken: names that other scores have.

    Raises:
      UserError: for another form, and for a name that another score has.
    """
    given: dict[str, Path] = {}
    for text in texts:
        name, separator, folder = text.partition('=')
        if not (name and separator and folder):
            raise UserError(f'--scores={text} is not of the form NAME=FOLDER, as bigan=runs/bigan/codes.')
        if name in taken or name in given:
            raise UserError(f'--scores={text}: another score is called {name!r}; give it another name.')
        given[name] = Path(folder)
    return given


def read_scores(given: Mapping[str, Path], keys: Sequence[str]) -> dict[str, Float64[np.ndarray, ' image']]:
    """The scores of these images, by name; higher is stranger.

    Args:
      given: folders that `gan.encode` wrote.
      keys: of the images, as the data set has them.

    Raises:
      UserError: when a folder holds no such scores, lacks an image, or a score is not finite.
    """
    return {name: _read(folder, keys) for name, folder in given.items()}


def _read(folder: Path, keys: Sequence[str]) -> Float64[np.ndarray, ' image']:
    path = folder / CODES_FILE
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise UserError(f'{folder} holds no {CODES_FILE}; name a folder that gan.encode wrote.')
    try:
        with path.open('rb') as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ('keys', _SCORES) if name in file.files}
        scores = dict(zip(arrays['keys'].tolist(), arrays.get(_SCORES, ()), strict=_SCORES in arrays))
    except Exception as error:  # zipfile, zlib and numpy share no base class
        raise UserError(f'{path} is damaged ({error}); run gan.encode again.') from error
    if _SCORES not in arrays:
        raise UserError(f'{path} has no anomaly scores; only codes of BiGAN have them.')
    missing = sum(key not in scores for key in keys)
    if missing:
        raise UserError(
            f'{path} lacks {missing} of {len(keys)} images; encode the same split of the same data set, with '
            'gan.encode --split=test --classes=all.'
        )
    found = np.asarray([scores[key] for key in keys], np.float64)
    if not np.isfinite(found).all():
        raise UserError(f'{path} has scores that are not finite; encode with an earlier checkpoint (--step).')
    return found
