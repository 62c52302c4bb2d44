"""What the networks are trained for, in closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan.losses import class_loss
from gan.networks import DiscriminatorOutput
from gan.step import make_train_step
from tests.gan import nets

REAL, FAKE = jnp.asarray([2.0, -1.0, 0.3]), jnp.asarray([0.5, -3.0, 1.2])
LABELS = jnp.asarray([0, 2, 1], jnp.int32)
KEY = jax.random.key(0)


def _verdict(logits, class_logits=None):
    return DiscriminatorOutput(logits, jnp.zeros((len(logits), 0)) if class_logits is None else class_logits)


def _loss(objective, real=REAL, fake=FAKE, key=KEY):
    return float(objective.discriminator_loss(_verdict(real), _verdict(fake), LABELS, key)[0])


def _cross_entropy(logits, targets):
    """Binary, with targets from 0 to 1."""
    chances = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    return np.mean(-targets * np.log(chances) - (1 - targets) * np.log(1 - chances))


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.3])
def test_label_smoothing_is_the_cross_entropy_with_soft_targets(smoothing):
    """Of real images only: generated ones keep the target 0."""
    objective = nets.create_objective('non_saturating', 'none', drift_weight=0.0, label_smoothing=smoothing)
    fake = FAKE + 1  # of another mean than -REAL, or smoothing either batch would come to the same
    expected = _cross_entropy(REAL, 1 - smoothing) + _cross_entropy(fake, 0.0)
    np.testing.assert_allclose(_loss(objective, fake=fake), expected, rtol=1e-6)


def test_label_noise_exchanges_its_share_of_both_batches():
    """A cross-entropy at noise p becomes the one with the targets 1 - p for real images and p for generated."""
    noise, count = 0.2, 200_000
    objective = nets.create_objective('non_saturating', 'none', drift_weight=0.0, label_noise=noise)
    real, fake = jnp.full((count,), 2.0), jnp.full((count,), -1.0)
    expected = _cross_entropy([2.0], 1 - noise) + _cross_entropy([-1.0], noise)
    np.testing.assert_allclose(_loss(objective, real, fake), expected, rtol=0.01)
    assert _loss(objective, real, fake) != _loss(objective, real, fake, jax.random.key(1))


def test_label_noise_is_drawn_apart_for_the_two_batches():
    """Of logits 1, the Wasserstein loss is a difference of two means of signs, each of variance 4p(1-p)/n."""
    noise, count = 0.2, 50
    objective = nets.create_objective('wasserstein', 'none', drift_weight=0.0, label_noise=noise)
    verdict, labels = _verdict(jnp.ones((count,))), jnp.zeros((count,), jnp.int32)
    keys = jax.random.split(KEY, 2000)
    losses = jax.vmap(lambda key: objective.discriminator_loss(verdict, verdict, labels, key)[0])(keys)
    np.testing.assert_allclose(np.var(losses), 2 * 4 * noise * (1 - noise) / count, rtol=0.15)


def test_what_is_logged_of_the_logits_does_not_feel_the_noise():
    objective = nets.create_objective('hinge', 'none', label_noise=0.4)
    _, metrics = objective.discriminator_loss(_verdict(REAL), _verdict(FAKE), LABELS, KEY)
    logged = [metrics[name] for name in ('real_logits', 'fake_logits', 'real_signs')]
    np.testing.assert_allclose(logged, [1.3 / 3, -1.3 / 3, 1 / 3], rtol=1e-5)


@pytest.mark.parametrize(
    ('penalty', 'share', 'expected'),
    [
        ('zero_centred', 1.0, 16 * (1 + 4 + 9 + 16) / 4 / 2),
        ('zero_centred', 0.5, 16 * (1 + 9) / 2 / 2),
        ('zero_centred_fake', 1.0, 16 * 4 * (1 + 4 + 9 + 16) / 4 / 2),
        ('zero_centred_both', 0.25, 16 * (1 + 4) / 2),
    ],
)
def test_penalties_are_of_their_share_of_their_images(penalty, share, expected):
    """D(x) = label sum x^2 / 2 at real images of ones and fakes of twos; labels go with the images taken."""
    objective = nets.create_objective('hinge', penalty, penalty_share=share, penalty_weight=3.0, penalty_every=2)
    real, labels = jnp.ones((4, 4, 4, 1)), jnp.arange(1, 5)

    def critic(images, labels):
        return labels * jnp.square(images).sum(axis=(1, 2, 3)) / 2

    total, metrics = objective.penalise(critic, real, 2 * real, labels, KEY)
    np.testing.assert_allclose(metrics['penalty'], expected, rtol=1e-5)
    np.testing.assert_allclose(total, 6 * expected, rtol=1e-5)


@pytest.mark.parametrize('share', [1.0, 0.5])
def test_penalties_by_differences_are_the_same_with_logits_that_are_known(share):
    objective = nets.create_objective(
        'hinge', 'zero_centred_both', penalty_slope='differences', penalty_share=share
    )
    real, fake = (jax.random.normal(jax.random.key(k), (4, 4, 4, 1)) for k in (1, 2))
    labels = jnp.arange(1, 5)

    def critic(images, labels):
        return labels * jnp.square(images).sum(axis=(1, 2, 3)) / 2

    logits = critic(real, labels), critic(fake, labels)
    known, found = (objective.penalise(critic, real, fake, labels, KEY, each)[0] for each in (logits, None))
    np.testing.assert_allclose(known, found, rtol=1e-4)


def test_drift_is_weighted():
    objective = nets.create_objective('wasserstein', 'none', drift_weight=0.5)
    np.testing.assert_allclose(_loss(objective), -0.8667 + 0.5 * (4 + 1 + 0.09) / 3, atol=1e-4)


def test_the_loss_of_an_auxiliary_classifier_is_a_cross_entropy_in_both_networks():
    """The discriminator learns classes from real images, whatever generated ones were meant to be."""
    real_classes, fake_classes = (jax.random.normal(jax.random.key(k), (3, 4)) for k in (1, 2))
    chances = np.exp(real_classes) / np.exp(real_classes).sum(axis=1, keepdims=True)
    expected = -np.log(chances[[0, 1, 2], LABELS]).mean()
    real, fake = _verdict(REAL, real_classes), _verdict(FAKE, fake_classes)
    np.testing.assert_allclose(class_loss(real.class_logits, LABELS), expected, rtol=1e-5)

    objective = nets.create_objective('hinge', 'none', class_weight=3.0)
    total, metrics = objective.discriminator_loss(real, fake, LABELS, KEY)
    np.testing.assert_allclose(total - _loss(objective), 3 * expected, rtol=1e-5)
    np.testing.assert_allclose(metrics['real_class_loss'], expected, rtol=1e-5)
    total, metrics = objective.generator_loss(fake, LABELS)
    np.testing.assert_allclose(total - (-FAKE.mean()), 3 * class_loss(fake.class_logits, LABELS), rtol=1e-5)
    np.testing.assert_allclose(metrics['fake_class_loss'], class_loss(fake.class_logits, LABELS), rtol=1e-5)


def test_without_a_classifier_there_is_no_class_loss():
    objective = nets.create_objective('hinge', 'none', class_weight=3.0, drift_weight=0.0)
    total, metrics = objective.generator_loss(_verdict(FAKE), LABELS)
    np.testing.assert_allclose(total, -FAKE.mean(), rtol=1e-6)
    assert set(metrics) == {'generator_loss'}


@pytest.mark.slow
@pytest.mark.parametrize('batch_norm', [False, True])
def test_one_batch_of_both_differs_from_two_where_there_is_batch_normalization_only(batch_norm):
    norms = []
    for joint in (False, True):
        objective = nets.create_objective('non_saturating', 'none', joint_batches=joint)
        fields = {'layers': 2, 'batch_norm': batch_norm, 'dropout': 0.0}
        recipe = nets.create_recipe('dcgan', objective=objective, discriminator=fields)
        step = make_train_step(recipe, with_penalty=False, with_generator=False)
        state = nets.create_start(recipe, KEY)
        _, metrics = jax.jit(step)(state, nets.create_batch(8), KEY, nets.controls())
        names = ('real_logits', 'fake_logits', 'discriminator_gradient_norm')
        norms.append(np.asarray([metrics[name] for name in names]))
    assert np.allclose(norms[0], norms[1], rtol=1e-4) != batch_norm


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'name': 'cosine'}, r"loss\.name is 'cosine'; choose one of"),
        ({'penalty': 'r1'}, r"loss\.penalty is 'r1'; choose one of"),
        ({'penalty_target': 0.0}, r'loss\.penalty_target is 0\.0, but must be above 0'),
        ({'penalty_slope': 'steep'}, r"loss\.penalty_slope is 'steep'; choose one of"),
        ({'penalty_slope': 'differences'}, r"loss\.penalty 'gradient' asks for"),
        ({'penalty_share': 0.0}, r'loss\.penalty_share is 0\.0, but must be above 0 and at most 1'),
        ({'name': 'relativistic', 'label_noise': 0.1}, r'loss\.label_noise needs labels, which .* relativistic'),
        ({'penalty_every': 0}, r'loss\.penalty_every is 0, but must be at least 1'),
        ({'label_noise': 0.5}, r'loss\.label_noise is 0\.5, but must be at least 0 and below 0\.5'),
        ({'label_noise': -0.1}, r'loss\.label_noise is -0\.1'),
        ({'label_smoothing': 0.5, 'name': 'non_saturating'}, r'loss\.label_smoothing is 0\.5'),
        ({'label_smoothing': 0.1}, r'loss\.label_smoothing is for labels of a cross-entropy'),
        ({'input_noise': -1.0}, r'loss\.input_noise is -1\.0, but must not be negative'),
    ],
)
def test_values_that_cannot_be_used_are_named(changes, expected):
    with pytest.raises(ValueError, match=expected):
        dataclasses.replace(nets.create_objective(), **changes)
