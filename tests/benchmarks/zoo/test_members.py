"""Who takes part in the zoo: every architecture, with parameters of one order, and a schedule that fits."""

import math

import jax
import pytest
from ml_collections import ConfigDict

from benchmarks.zoo.members import BATCH_SIZE, MEMBERS, WIDTHS, create_config
from benchmarks.zoo.training import apply_plan
from gan.families import FAMILIES
from gan.families.methods import METHODS
from gan.recipe import ImageFormat, create_recipe

_DATA = ConfigDict({'name': 'chest'})


def _create(name, resolution=32):
    config = create_config(MEMBERS[name], resolution, _DATA)
    config.channels = 1
    return config


def test_every_method_and_every_architecture_that_draws_takes_part():
    assert set(WIDTHS) == {name for name, family in FAMILIES.items() if not family.translates}
    drawing = [method for method in METHODS if method.create_config().architecture in WIDTHS]
    assert drawing == [member for name, member in MEMBERS.items() if name != 'dcgan_conditional']
    assert {name for name, member in MEMBERS.items() if member.create_config().conditional} == {
        'vanilla_conditional', 'dcgan_conditional', 'conditional_auxiliary', 'conditional_projection',
    }  # fmt: skip


@pytest.mark.parametrize('name', MEMBERS)
def test_members_have_parameters_of_one_order_and_can_be_smaller(name):
    recipe = create_recipe(_create(name))
    state = recipe.abstract_state(32, ImageFormat(1, 0, 6 if recipe.conditional else 0))
    count = sum(math.prod(leaf.shape) for net in state.networks.values() for leaf in jax.tree.leaves(net.params))
    assert 2e5 < count < 1e6
    assert set(recipe.schedule.batch_size.values()) == {BATCH_SIZE}
    assert create_recipe(_create(name, 16)).resolution == 16


def test_a_growing_member_shares_its_time_and_ends_open():
    config = _create('pggan')
    apply_plan(config, {4: 3000.0, 8: 2000.0, 16: 900.0, 32: 300.0}, seconds=100.0)
    *early, last = create_recipe(config).stages(num_examples=1)
    speeds = {4: 3000.0, 8: 2000.0, 16: 900.0}
    seconds = [(stage.end - stage.start) / speeds[stage.resolution] for stage in early]
    weights = [(1 / 0.7) ** number for number in range(4)]
    assert sum(seconds) == pytest.approx(85 * sum(weights[:3]) / sum(weights), rel=0.05)
    assert seconds == sorted(seconds)
    assert last.resolution == 32
    # Looks and checkpoints do not fill the early stages, which see most of the images.
    expected = sum((*(stage.end - stage.start for stage in early), 300 * 85 * weights[3] / sum(weights)))
    assert expected / config.watch.images <= 25
    assert expected / config.run.checkpoint_images <= 11
    assert last.stable_images > 1e7


def test_what_anneals_ends_before_the_time():
    config = _create('r3gan')
    apply_plan(config, {32: 200.0}, seconds=100.0)
    assert config.anneal.images == int(0.85 * 200 * 85)
    assert config.watch.images * 12 == pytest.approx(200 * 85, rel=0.01)
    (stage,) = create_recipe(config).stages(num_examples=1)
    assert stage.stable_images > 1e7
