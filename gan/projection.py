"""Images into the space of styles: the style whose drawing is nearest (Karras et al. 2020, appendix D).

One style for all layers, from the mean style on, by Adam; the noise of all layers stays that which all images
share, so that what is found is what styles can draw.
"""

import csv
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import input_pipeline
from backbones.extractors import Extractor
from backbones.grids import save_picture
from foundation.files import write_file
from foundation.training.errors import UserError
from gan.codes import SHOWN, draw_pairs
from gan.generator import TrainedGenerator
from gan.networks import StyleGenerator
from gan.networks.styles import STYLES
from gan.recipe import ImageFormat
from gan.sources import SourceImages

Images = Float[Array, 'batch height width channel']
Styles = Float[Array, 'batch style']


@dataclasses.dataclass(frozen=True)
class ProjectionOptions:
    """How styles are looked for.

    Attributes:
      steps: of Adam, whose learning rate falls along half a cosine to 0.
      learning_rate: at the start.
      feature_weight: of the distance in features, beside that in pixels.
    """

    steps: int
    learning_rate: float
    feature_weight: float


class Projected(NamedTuple):
    """What was found for each image, on the device or on the host.

    Attributes:
      styles: the best that were met.
      images: drawn from them.
      pixel_distances: root mean square difference, in units of images.
      feature_distances: length of the difference, as a share of that of the image's own features.
      start_pixel_distances: as pixel_distances, of the mean style.
    """

    styles: Float[Array | np.ndarray, 'image style']
    images: Float[Array | np.ndarray, 'image height width channel']
    pixel_distances: Float[Array | np.ndarray, ' image']
    feature_distances: Float[Array | np.ndarray, ' image']
    start_pixel_distances: Float[Array | np.ndarray, ' image']


class _Distances(NamedTuple):
    """Mean squares of each image; see Projected for their roots."""

    pixels: Float[Array, 'batch']
    features: Float[Array, 'batch']


class _Search(NamedTuple):
    """Where the search is, and the best so far."""

    styles: Styles
    optimizer: optax.OptState
    best: Styles
    least: Float[Array, 'batch']


Draw = Callable[[Styles], Images]
Describe = Callable[[Images], Float[Array, 'batch feature']]


def make_project(draw: Draw, describe: Describe, options: ProjectionOptions) -> Callable[[Images, Styles], Styles]:
    """Returns `project(images, start)`: the style of each image, whatever the others in the batch.

    Args:
      draw: images of styles.
      describe: features of images.
      options: how styles are looked for.
    """
    adam = optax.adam(optax.cosine_decay_schedule(options.learning_rate, options.steps))

    def losses(styles: Styles, images: Images) -> tuple[Array, Array]:
        found = measure(draw(styles), images, describe)
        each = found.pixels + options.feature_weight * found.features
        return each.sum(), each

    @jax.jit
    def step(search: _Search, images: Images) -> _Search:
        (_, each), gradients = jax.value_and_grad(losses, has_aux=True)(search.styles, images)
        best, least = _keep(search, each)
        moves, moved = adam.update(gradients, search.optimizer)
        return _Search(search.styles + moves, moved, best, least)

    def project(images: Images, start: Styles) -> Styles:
        search = _Search(start, adam.init(start), start, jnp.full(len(images), jnp.inf))
        for _ in range(options.steps + 1):  # the last one looks at what the one before has found
            search = step(search, images)
        return search.best

    return project


def _keep(search: _Search, losses: Float[Array, 'batch']) -> tuple[Styles, Float[Array, 'batch']]:
    better = losses < search.least  # never where a loss is not finite
    return jnp.where(better[:, None], search.styles, search.best), jnp.where(better, losses, search.least)


def measure(drawn: Images, images: Images, describe: Describe) -> _Distances:
    """How far drawn images are from others, in pixels and in features."""
    wanted = describe(images)
    apart = jnp.square(describe(drawn) - wanted).sum(axis=1)
    return _Distances(
        jnp.square(drawn - images).mean(axis=(1, 2, 3)),
        apart / jnp.maximum(jnp.square(wanted).sum(axis=1), 1e-12),
    )


def project_images(
    trained: TrainedGenerator,
    extractor: Extractor,
    source: SourceImages,
    options: ProjectionOptions,
    *,
    batch_size: int,
) -> tuple[Projected, Float[np.ndarray, 'image height width channel']]:
    """Projects the images, and returns what was found, and the images.

    Masks are not looked at. Images whose class is one of the generator's begin with its mean style, others with
    the mean of all.

    Args:
      trained: a generator with styles.
      extractor: whose features are compared.
      source: the images.
      options: how styles are looked for.
      batch_size: images at a time.

    Raises:
      UserError: when the generator has no styles.
    """
    check_styles(trained)
    found = list(source.batches(batch_size))
    images = np.concatenate([batch.images for batch in found])[..., : trained.image_format.channels]
    labels = np.concatenate([batch.labels for batch in found])
    find, start = _make_find(trained, extractor, options), _find_start(trained, source.classes, labels)
    parts = []
    for first in range(0, len(images), batch_size):
        rows = np.arange(first, first + batch_size) % len(images)  # always as many: one program serves all
        own = find(jnp.asarray(images[rows]), jnp.asarray(start[rows]))
        parts.append(Projected(*(part[: len(images) - first] for part in own)))
    joined = Projected(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return joined, images


def _find_start(trained: TrainedGenerator, classes: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
    """A style for each image."""
    means = np.asarray(trained.weights.variables[STYLES]['mean'])
    known = labels >= 0 if trained.image_format.num_classes and classes == trained.facts.classes else labels < -1
    return np.where(known[:, None], means[np.where(known, labels, 0)], means.mean(axis=0))


def check_styles(trained: TrainedGenerator) -> None:
    """Raises UserError for a generator without styles."""
    if not isinstance(trained.network, StyleGenerator):
        raise UserError(
            f'A generator of architecture {trained.recipe.architecture!r} has no styles to project images into; '
            'train one of stylegan or stylegan2.'
        )


def _make_find(
    trained: TrainedGenerator, extractor: Extractor, options: ProjectionOptions
) -> Callable[[Images, Styles], Projected]:
    network, weights = trained.network, trained.weights

    def draw(styles: Styles) -> Images:
        layers = jnp.repeat(styles[:, None], network.layers, axis=1)
        drawn = network.apply(weights.variables, layers, jnp.float32(weights.alpha), method='synthesize')
        return drawn[..., : trained.image_format.channels]

    def describe(images: Images) -> Array:
        return extractor.extract(extractor.variables, images).features

    project = make_project(draw, describe, options)

    @jax.jit
    def tell(styles: Styles, start: Styles, images: Images) -> Projected:
        drawn = draw(styles)
        found, before = measure(drawn, images, describe), measure(draw(start), images, describe)
        return Projected(styles, drawn, jnp.sqrt(found.pixels), jnp.sqrt(found.features), jnp.sqrt(before.pixels))

    def find(images: Images, start: Styles) -> Projected:
        return Projected(*map(np.asarray, tell(project(images, start), start, images)))

    return find


def write_projected(
    out: Path,
    found: Projected,
    images: Float[np.ndarray, 'image height width channel'],
    keys: tuple[str, ...],
    image_format: ImageFormat,
) -> None:
    """Writes projected.npz, projected.csv and projected.png: images, and below each what is drawn in its place.

    The folder is complete or absent whatever happens meanwhile.
    """
    columns = ('pixel_distances', 'feature_distances', 'start_pixel_distances')
    told = {name: np.asarray(getattr(found, name)) for name in columns}
    rows = [['key', *(name.removesuffix('s') for name in columns)]]
    rows += [[key, *(f'{told[name][row]:.7g}' for name in columns)] for row, key in enumerate(keys)]
    table = io.StringIO()
    csv.writer(table, lineterminator='\n').writerows(rows)
    shown = slice(0, SHOWN)
    grey = dataclasses.replace(image_format, mask_classes=0)
    with input_pipeline.complete_folder(out.absolute(), overwrite=out.exists()) as folder:
        arrays = {'keys': np.asarray(keys), 'styles': found.styles, **told}
        np.savez(folder / 'projected.npz', allow_pickle=False, **arrays)
        write_file(folder / 'projected.csv', table.getvalue().encode())
        drawn = np.clip(np.asarray(found.images)[shown], -1, 1)
        save_picture(draw_pairs(images[shown], drawn, grey), folder / 'projected.png')
