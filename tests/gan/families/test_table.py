"""Every family of the table makes its updates, draws, and says what it cannot do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.families import FAMILIES
from gan.latents import draw_latents
from gan.recipe import create_recipe
from tests.gan.families import small

_CONDITIONAL = [name for name, family in FAMILIES.items() if True in family.allows.get('conditional', (True,))]


def _changed(one, other):
    return any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


_LONG = ('biggan', 'gran', 'stylegan', 'stylegan2')  # to compile


# Those that translate are in test_translation.py, with smaller networks.
@pytest.mark.parametrize(
    'architecture',
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in _LONG))
        for name, family in sorted(FAMILIES.items())
        if not family.translates
    ],
)
def test_each_update_moves_its_own_networks_and_no_others(architecture):
    config = small.small_config(architecture, conditional=architecture in _CONDITIONAL)
    _, step, state = small.start(config)
    start, trained = state, set()
    for update, make in zip(step.create_updates(step), small.make_updates(step), strict=True):
        before = state
        state, metrics = make(before, small.create_batch(), jax.random.key(1), small.controls())
        moved = {
            name for name in state.networks if _changed(before.networks[name].params, state.networks[name].params)
        }
        assert moved == set(update.trains)
        assert int(state.skipped) == 0
        assert all(np.isfinite(value) and value.shape == () for value in metrics.values())
        trained |= moved
    assert trained == set(step.networks)
    assert _changed(start.averages, state.averages)

    form = config.generator
    latents = draw_latents(jax.random.key(2), 2, step.generator.latent_size, form.latent_distribution)
    draw = jax.jit(step.generator.apply)
    images = draw(state.averaged('generator'), latents, jnp.asarray([0, 1], jnp.int32), 1.0)
    assert (images.shape, images.dtype) == ((2, small.SIDE, small.SIDE, 1), jnp.float32)
    assert np.isfinite(images).all()
    assert np.abs(images[0] - images[1]).max() > 0


@pytest.mark.parametrize('architecture', sorted(FAMILIES))
def test_every_network_has_a_section_of_the_config_and_a_side(architecture):
    _, step, state = small.start(small.small_config(architecture, conditional=architecture in _CONDITIONAL))
    assert set(state.networks) == set(step.networks) == set(FAMILIES[architecture].sides) == set(step.optimizers)


_REFUSED = {
    'conditional': True,
    'mask_head': True,
    'generator.latent_distribution': 'normal',
    'loss.penalty': 'gradient',
    'loss.joint_batches': True,
    'loss.input_noise': 0.1,
    'augment.operations': ('flip',),
    'optimizer.discriminator_steps': 2,
}


@pytest.mark.parametrize(
    ('architecture', 'place'),
    [(name, place) for name, family in FAMILIES.items() for place in family.allows if place in _REFUSED],
)
def test_what_a_family_cannot_do_is_refused_by_name(architecture, place):
    config = small.small_config(architecture)
    allowed = FAMILIES[architecture].allows[place]
    config.update_from_flattened_dict({place: not allowed[0] if place == 'conditional' else _REFUSED[place]})
    with pytest.raises(UserError, match=rf"config\.{place} is .*, but architecture '{architecture}' works only"):
        create_recipe(config)


@pytest.mark.parametrize('architecture', [name for name, family in FAMILIES.items() if not family.grows])
def test_only_some_families_grow(architecture):
    config = small.small_config(architecture, side=16)
    config.schedule.initial_resolution, config.schedule.batch_size = 8, {'at_8': 4, 'at_16': 4}
    with pytest.raises(UserError, match=f"'{architecture}' does not grow"):
        create_recipe(config)


@pytest.mark.parametrize(
    ('architecture', 'changes', 'expected'),
    [
        ('aae', {'family__labelled': 10}, r'config\.family\.labelled is for classes'),
        ('bigan', {'encoder__layers': 4}, r'config\.encoder\.layers is 4, but 8 pixels cannot'),
        ('bigan', {'discriminator__layers': 4}, r'config\.discriminator\.layers is 4, but 8 pixels cannot'),
        ('lapgan', {'generator__coarsest': 8}, r'config\.generator\.coarsest is 8, but must be below'),
        ('infogan', {'family__categories': 1}, r'config\.family\.categories is 1, but must be at least 2'),
    ],
)
def test_fields_that_do_not_fit_each_other_are_named(architecture, changes, expected):
    with pytest.raises(UserError, match=expected):
        create_recipe(small.small_config(architecture, **changes))


def test_a_section_of_another_family_is_refused():
    config = small.small_config('dcgan')
    config.encoder = small.small_config('bigan').encoder
    with pytest.raises(UserError, match=r'config\.encoder\.\w+ is a field that no part of this run reads'):
        create_recipe(config)
