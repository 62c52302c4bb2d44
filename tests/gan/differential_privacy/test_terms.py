"""What does not go with differential privacy is refused; what is left judges each image by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.gan import dcgan, private
from foundation.training.errors import UserError
from gan.differential_privacy.terms import PrivacyTerms
from gan.families import FAMILIES
from gan.recipe import create_recipe
from gan.step import pair_updates
from tests.gan import nets

_TERMS = PrivacyTerms(noise_multiplier=1.0, epsilon=0.0, delta=1e-5, clip_norm=1.0, unit='image', fill=0.75)


def _create_dcgan():
    """A private config of networks that may have batch normalization."""
    config = dcgan.get_config()
    config.watch.images = 0
    config.privacy.noise_multiplier = 1.0
    config.generator.batch_norm = config.discriminator.batch_norm = False
    return config


def _refuse(changes: dict) -> str:
    config = _create_dcgan() if any('batch_norm' in name for name in changes) else private.get_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError) as refusal:
        create_recipe(config)
    return str(refusal.value)


@pytest.mark.parametrize(
    ('changes', 'remedy'),
    [
        ({'loss.name': 'relativistic'}, 'looks at real images; choose another.'),
        ({'augment.adaptive': True, 'augment.operations': ('flip',)}, 'config.augment.adaptive'),
        ({'watch.images': 1000}, 'config.watch.images'),
        ({'discriminator.batch_norm': True}, 'set config.discriminator.batch_norm to False'),
        ({'generator.batch_norm': True, 'conditional': True}, 'set config.generator.batch_norm to False'),
        ({'loss.joint_batches': True}, 'config.loss.joint_batches'),
        ({'loss.penalty': 'zero_centred', 'loss.penalty_share': 0.5}, 'config.loss.penalty_share'),
    ],
)
def test_what_sees_real_images_elsewhere_or_mixes_them_is_refused(changes, remedy):
    refusal = _refuse(changes)
    assert refusal.startswith('Differential privacy (config.privacy) does not go with ')
    assert remedy in refusal
    assert '\n' not in refusal


@pytest.mark.parametrize(
    ('name', 'expected'),
    [('enhanced_gan', 'set config.discriminator.stddev_group to 1'), ('infogan', 'has updates of its own')],
)
def test_other_architectures(name, expected):
    module = __import__(f'configs.gan.{name}', fromlist=['get_config'])
    config = module.get_config()
    config.privacy.noise_multiplier = 1.0
    config.watch.images = 0
    with pytest.raises(UserError, match=expected):
        create_recipe(config)


def test_a_generator_with_batch_normalization_goes_with_it_where_there_are_no_classes():
    config = _create_dcgan()
    config.generator.batch_norm = True
    assert create_recipe(config).privacy is not None
    config.privacy.noise_multiplier = 0.0
    config.conditional = True
    assert create_recipe(config).privacy is None


@pytest.mark.parametrize('architecture', [name for name in nets.PAIRS if FAMILIES[name].updates is pair_updates])
def test_discriminators_that_are_left_judge_each_image_by_itself(architecture):
    """The logit of an image is the same whoever is beside it."""
    off = {'stddev_group': 1} if architecture in ('progressive', 'stylegan') else {}
    judging = nets.create_networks(architecture, 8, discriminator=off)['discriminator']
    images, labels = nets.create_batch(8, count=3)['image'], jnp.zeros(3, jnp.int32)
    variables = jax.jit(judging.init)(jax.random.key(0), images, labels)
    judge = jax.jit(lambda rows: judging.apply(variables, rows, labels[: len(rows)]).logits)
    together, alone = judge(images), [judge(images[row : row + 1])[0] for row in range(3)]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert np.ptp(np.asarray(together)) > 0


def test_a_batch_of_everybody_is_refused():
    assert _TERMS.probability(64, 100) == 0.48
    with pytest.raises(UserError, match='draws 48 of 48 images a batch on average, but it must be fewer than all'):
        _TERMS.probability(64, 48)
