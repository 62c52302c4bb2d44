"""Every variant of the config of encoders without labels loads, has all fields, and gives a network that fits."""

import inspect

import pytest

from backbones.contrastive.recipe import create_contrastive_recipe
from configs.backbones import self_supervised
from configs.backbones.schema import SELF_SUPERVISED
from configs.schema import fixed_fields


@pytest.mark.parametrize('variant', self_supervised.VARIANTS)
def test_a_variant_is_told_and_can_be_built(variant):
    config = self_supervised.get_config(variant).lock()
    recipe = create_contrastive_recipe(config)
    assert recipe.network.encoder.depth == (50 if variant == 'resnet50' else 18)
    assert recipe.steps * recipe.batch_size <= config.schedule.images < (recipe.steps + 1) * recipe.batch_size
    assert recipe.watched % recipe.batch_size == 0
    assert variant == 'small' or f'self_supervised.py:{variant} ' in inspect.getdoc(self_supervised)
    fixed = fixed_fields(SELF_SUPERVISED, config)
    assert {'views', 'contrast', 'projection', 'network', 'schedule', 'optimizer', 'seed'} <= set(fixed)
    assert 'data.flip_horizontal' not in fixed


def test_views_are_mirrored_where_the_data_allow_it_alone():
    config = self_supervised.get_config()
    assert not create_contrastive_recipe(config).views.mirror_horizontal
    config.data.flip_horizontal = True
    views = create_contrastive_recipe(config).views
    assert (views.mirror_horizontal, views.mirror_vertical) == (True, False)


def test_an_unknown_variant_names_those_that_there_are():
    with pytest.raises(ValueError, match=r"variant 'vgg' is unknown; choose one of small, resnet18, resnet50"):
        self_supervised.get_config('vgg')
