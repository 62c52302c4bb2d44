"""What one kind of generator alone shows in a report: mixed and truncated styles, and strokes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backbones.images import DataFacts
from configs.gan import dcgan, gran, lapgan, stylegan2
from foundation.training.checkpoints import Position
from gan.generator import TrainedGenerator, Weights
from gan.recipe import create_recipe
from gan.reporting import sheets
from gan.reporting.grids import Artist

_FACTS = DataFacts('phantom', 'f' * 64, 40, 20, ('healthy', 'lesion'), 'uint8', None)
_SMALL = {
    'latent_size': 8,
    'coarsest': 4,
    'dense_width': 8,
    'width': 4,
    'style_size': 8,
    'last_width': 4,
    'max_width': 8,
    'fmap_base': 64,
    'fmap_max': 8,
}


def _create_artist(module):
    config = module.get_config()
    config.resolution, config.conditional, config.channels = 8, True, 1
    config.compute_dtype, config.schedule.batch_size = 'float32', {'at_8': 8}
    config.generator.update({name: value for name, value in _SMALL.items() if name in config.generator})
    if 'layers' in config.discriminator:
        config.discriminator.layers = 1
    recipe = create_recipe(config)
    network = recipe.generator_at(8, recipe.image_format(2))
    init = jax.jit(network.init)
    variables = init(jax.random.key(0), jnp.zeros((1, network.latent_size)), jnp.zeros((1,), jnp.int32))
    variables = jax.tree.map(
        lambda leaf: leaf + 0.1 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), variables
    )
    return Artist(TrainedGenerator(recipe, _FACTS, network, Weights(variables, 1.0), Position(1, 8, '8x8')))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('module', 'names'),
    [(stylegan2, ['mixing', 'truncation']), (gran, ['strokes']), (lapgan, ['levels']), (dcgan, [])],
)
def test_each_kind_shows_what_is_its_own(module, names):
    drawn = list(sheets.draw_own(_create_artist(module)))
    assert [name for name, _, _ in drawn] == names
    assert all(figure.images for _, figure, _ in drawn)


@pytest.mark.slow
def test_sheets_end_in_the_images_themselves():
    """Untruncated, unmixed, or after the last stroke."""
    for module, names in ((stylegan2, ('mixing', 'truncation')), (gran, ('strokes',)), (lapgan, ('levels',))):
        artist = _create_artist(module)
        images = artist.draw(artist.latents(5), artist.labels(5))
        for name in names:
            tiles, titles = sheets.SHEETS[name].draw(artist)
            assert tiles.shape[1] == len(titles)
            place = 0 if name == 'mixing' else -1
            shown = np.clip(tiles[:5, place], -1, 1)
            if name == 'mixing':  # latents of another count are others
                images = artist.draw(artist.latents(10)[:5], artist.labels(5))
            np.testing.assert_allclose(shown, images, atol=1e-5)
            images = artist.draw(artist.latents(5), artist.labels(5))
