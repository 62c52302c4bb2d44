"""What generators of one kind alone can show: mixed and truncated styles, a picture by strokes or by levels."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure

from gan.evaluation.settings import find_settings
from gan.networks import GranGenerator, LaplacianGenerator, StyleGenerator, mix
from gan.reporting.figures import Sheet
from gan.reporting.grids import Artist

_SOURCES = 5  # images whose styles are mixed, on each side
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_IMAGES = 5  # rows of the other sheets
_LEFT = 110  # pixels for titles of rows

Tiles = Float[np.ndarray, 'rows columns height width channel']


@dataclasses.dataclass(frozen=True)
class OwnSheet:
    """A sheet of one kind of generator.

    Attributes:
      kind: of its network.
      draw: the tiles, and titles of the columns.
      caption: below it.
    """

    kind: type[nn.Module]
    draw: Callable[[Artist], tuple[Tiles, list[str]]]
    caption: str


def draw_own(artist: Artist) -> Iterator[tuple[str, Figure, str]]:
    """Name, figure and caption of each sheet that a generator's kind has."""
    for name, own in SHEETS.items():
        if isinstance(artist.trained.network, own.kind):
            tiles, titles = own.draw(artist)
            yield name, _arrange(artist, tiles, titles), own.caption


def _arrange(artist: Artist, tiles: Tiles, titles: list[str]) -> Figure:
    pictures = [[artist.picture(np.clip(tile[None], -1, 1), 1) for tile in row] for row in tiles]
    sheet = Sheet(len(tiles), len(titles), pictures[0][0].shape[:2], left=_LEFT, right=_LEFT)
    labels = artist.labels(len(tiles))
    for column, title in enumerate(titles):
        sheet.title_column(column, title)
    for row, places in enumerate(pictures):
        sheet.title_row(row, artist.class_name(int(labels[row])))
        for column, picture in enumerate(places):
            sheet.place(row, column, picture, '')
    return sheet.figure


def _apply(artist: Artist, *given: Array | np.ndarray, **options: Any) -> Array:
    network, weights = artist.trained.network, artist.trained.weights
    return jax.jit(partial(network.apply, **options))(weights.variables, *given)


def _mixing(artist: Artist) -> tuple[Tiles, list[str]]:
    """The first column and the first row of images, and all their mixtures, which cross in the middle."""
    latents, labels = artist.latents(2 * _SOURCES), artist.labels(2 * _SOURCES)
    styles = _apply(artist, latents, labels, method='spread')
    rows, columns = np.divmod(np.arange(_SOURCES**2), _SOURCES)
    crossings = jnp.full(_SOURCES**2, styles.shape[1] // 2)
    mixed = mix(styles[rows], styles[_SOURCES + columns], crossings)
    alpha = jnp.float32(artist.trained.weights.alpha)
    images = np.asarray(_apply(artist, jnp.concatenate([styles, mixed]), alpha, method='synthesize'))
    coarse, fine, mixtures = np.split(images, [_SOURCES, 2 * _SOURCES])
    body = np.concatenate([coarse[:, None], mixtures.reshape(_SOURCES, _SOURCES, *images.shape[1:])], axis=1)
    head = np.concatenate([np.ones_like(fine[:1]), fine])
    return np.concatenate([body, head[None]]), ['first styles', *['mixed'] * _SOURCES]


def _truncated(artist: Artist) -> tuple[Tiles, list[str]]:
    latents, labels = artist.latents(_IMAGES), artist.labels(_IMAGES)
    drawn = [_draw_truncated(artist, latents, labels, share) for share in _SHARES]
    return np.stack(drawn, axis=1), [f'{share:g}' for share in _SHARES]


def _draw_truncated(
    artist: Artist, latents: Float[np.ndarray, '_ latent'], labels: Int[np.ndarray, '_'], share: float
) -> Float[np.ndarray, '_ height width channel']:
    alpha = jnp.float32(artist.trained.weights.alpha)
    return np.asarray(_apply(artist, latents, labels, alpha, truncation=share))


def _strokes(artist: Artist) -> tuple[Tiles, list[str]]:
    """The canvas after each stroke."""
    strokes = _apply(artist, artist.latents(_IMAGES), artist.labels(_IMAGES), method='strokes')
    canvases = np.tanh(np.cumsum(np.asarray(strokes), axis=0)).swapaxes(0, 1)
    return canvases, [f'{step} of {len(strokes)}' for step in range(1, len(strokes) + 1)]


def _levels(artist: Artist) -> tuple[Tiles, list[str]]:
    """The images of each level of the pyramid, drawn from one latent and enlarged to the size of the last."""
    _, settings = find_settings(artist.trained, ())
    latents, labels = artist.latents(_IMAGES), artist.labels(_IMAGES)
    side, drawn = artist.trained.network.resolution, []
    for setting in settings:
        network = setting.trained.network
        own = dataclasses.replace(artist, trained=setting.trained)
        images = np.asarray(_apply(own, latents[:, : network.latent_size], labels))
        drawn.append(images.repeat(side // network.resolution, axis=1).repeat(side // network.resolution, axis=2))
    return np.stack(drawn, axis=1), [setting.name for setting in settings]


SHEETS = {
    'mixing': OwnSheet(
        StyleGenerator,
        _mixing,
        'Mixed styles: the first half of the layers has the style of the image at the left, the second half that '
        'of the image below.',
    ),
    'truncation': OwnSheet(
        StyleGenerator,
        _truncated,
        'Truncation: the share of the way from the mean style of the class to that of the image.',
    ),
    'strokes': OwnSheet(GranGenerator, _strokes, 'The canvas after each stroke; the last is the image.'),
    'levels': OwnSheet(LaplacianGenerator, _levels, 'The levels of the pyramid; the last is the image.'),
}
