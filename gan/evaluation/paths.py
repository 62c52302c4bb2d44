"""Perceptual path length: how fast features change along the way between two latents, or between two styles.

Karras et al. 2019, arXiv:1812.04948, equations 2 and 3: E[d(G(p(t)), G(p(t + e))) / e^2] with e = 1e-4. With the
squared distance of features for d, that is |df/dt|^2 as e goes to 0, which is computed here as a derivative: a
difference over so small an e would lose digits to rounding in float32.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from backbones.extractors import Extractor
from foundation.statistics.jackknife import (
    LARGEST_GROUP_COUNT,
    POSITIVE,
    Missing,
    Score,
    create_estimate,
    deal_groups,
    difference,
    kept_groups,
)
from foundation.training import parallel
from foundation.training.mapping import create_mapper
from foundation.training.state import Variables
from gan.generator import TrainedGenerator, Weights
from gan.latents import draw_numbered, interpolate
from gan.networks import Generator, StyleGenerator
from gan.sampler import labels_in_turn

_LEFT_OUT = 0.01  # of the paths at either end, the fastest and the slowest, as in the paper's own code
_LATENTS, _STYLES = 'path_length_latents', 'path_length_styles'
TITLES = {
    _STYLES: 'path length in w',
    _LATENTS: 'path length in z',
    'path_length_difference': 'w - z',
}


class _Ends(NamedTuple):
    """Latents at both ends, and a place between them, of some paths."""

    first: Float[Array, 'batch latent']
    last: Float[Array, 'batch latent']
    places: Float[Array, 'batch']


def squared_speeds(
    describe: Callable[[Array], Array], path: Callable[[Array], Array], places: Float[Array, 'batch']
) -> Float[Array, 'batch']:
    """|d describe(path(t)) / dt|^2 of each row, whose features depend on its own place alone."""
    # Forward differentiation as backward differentiation of the backward one, which is linear in what it is given:
    # some layers know their gradients in that direction alone.
    features, pull = jax.vjp(lambda t: describe(path(t)), places)
    _, push = jax.vjp(lambda given: pull(given)[0], jnp.zeros_like(features))
    (speeds,) = push(jnp.ones_like(places))
    return jnp.square(speeds.astype(jnp.float32)).reshape(len(places), -1).sum(axis=1)


def measure_path_lengths(
    trained: TrainedGenerator, extractor: Extractor, *, count: int, seed: int, batch_size: int
) -> dict[str, Score]:
    """The scores in TITLES, lower is smoother: both over the same ends and places, classes in turn.

    Ends are two draws of the latent; places are uniform on the whole way. In the latents it is a great circle or a
    line (see `interpolate`), in the styles a line. Latents without a mapping to styles have the former alone.

    Args:
      trained: the generator.
      extractor: whose features are followed.
      count: of paths.
      seed: of them.
      batch_size: paths at a time.
    """
    network = trained.network
    labels = labels_in_turn(count, trained.image_format.num_classes, None)

    def measure(
        given: tuple[Weights, Variables, Array], numbers: Array, labels: Array
    ) -> dict[str, Float[Array, 'batch']]:
        weights, variables, number = given
        ends = _draw_ends(network, jax.random.key(number), numbers)

        def describe(images: Array) -> Array:
            return extractor.extract(variables, images[..., : trained.image_format.channels]).features

        return _measure_batch(network, weights, describe, ends, labels)

    mapped = create_mapper(measure, parallel.create_mesh(), batch_size)
    weights = Weights(trained.weights.variables, np.float32(trained.weights.alpha))
    speeds = mapped((weights, extractor.variables, np.uint32(seed)), np.arange(count, dtype=np.int32), labels)
    return summarize_speeds({name: np.asarray(own, np.float64) for name, own in speeds.items()})


def _measure_batch(
    network: Generator,
    weights: Weights,
    describe: Callable[[Array], Array],
    ends: _Ends,
    labels: Int[Array, 'batch'],
) -> dict[str, Float[Array, 'batch']]:
    first, last, places = ends

    def draw(latents: Array) -> Array:
        return describe(network.apply(weights.variables, latents, labels, weights.alpha))

    def between(shares: Array) -> Array:
        return interpolate(first, last, shares, network.latent_distribution)

    speeds = {_LATENTS: squared_speeds(draw, between, places)}
    if not isinstance(network, StyleGenerator):
        return speeds
    styles = [network.apply(weights.variables, end, labels, method='spread') for end in (first, last)]

    def draw_styles(styles: Array) -> Array:
        return describe(network.apply(weights.variables, styles, weights.alpha, method='synthesize'))

    def along(shares: Array) -> Array:
        return styles[0] + shares[:, None, None] * (styles[1] - styles[0])

    return {_STYLES: squared_speeds(draw_styles, along, places)} | speeds


def _draw_ends(network: Generator, key: Array, numbers: Int[Array, 'batch']) -> _Ends:
    size, distribution = network.latent_size, network.latent_distribution
    first, last = (draw_numbered(own, numbers, size, distribution) for own in jax.random.split(key, 2))
    places = draw_numbered(jax.random.fold_in(key, 2), numbers, 1, 'uniform')[:, 0]
    return _Ends(first, last, (places + 1) / 2)


def summarize_speeds(speeds: dict[str, Float64[np.ndarray, ' path']]) -> dict[str, Score]:
    """Means without the fastest and the slowest hundredth; their difference where there are two."""
    scores: dict[str, Score] = {name: _trimmed_mean(own) for name, own in speeds.items()}
    if _STYLES in scores:
        scores['path_length_difference'] = difference(scores[_STYLES], scores[_LATENTS])
    return scores


def _trimmed_mean(values: Float64[np.ndarray, ' path']) -> Score:
    if not np.isfinite(values).all():
        return Missing(f'{int((~np.isfinite(values)).sum())} of {len(values)} paths are not finite.')
    if len(values) < 2:
        return Missing(f'needs at least 2 paths; there are {len(values)}.')
    count = min(LARGEST_GROUP_COUNT, len(values))
    groups = deal_groups(np.arange(len(values)), count)
    means = []
    for kept in kept_groups(count).astype(bool):
        own = np.sort(values[kept[groups]])
        left_out = int(_LEFT_OUT * len(own))
        means.append(own[left_out : len(own) - left_out].mean())
    return create_estimate(np.asarray(means), POSITIVE, paths=len(values))
