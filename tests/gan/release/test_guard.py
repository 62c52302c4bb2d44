"""The gate as a whole, on an untrained generator and on one that repeats its training images."""

import copy
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backbones.images import facts_of
from configs.gan import tiny
from foundation.statistics.jackknife import Estimate, Missing
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from gan.evaluation.extractors import create_extractor
from gan.generator import TrainedGenerator, Weights
from gan.networks import ProgressiveGenerator
from gan.recipe import ImageFormat, create_recipe
from gan.release import guard
from gan.release.control import attack_unseen, control_members
from gan.release.decision import Policy
from gan.release.findings import Findings, explain, write_page
from gan.release.guard import ReleaseGuard
from gan.release.membership import MembershipAttack
from gan.release.power import COPIES, find_copies, plant_copies

pytestmark = pytest.mark.slow
POLICY = Policy(quantile=0.1, largest_withheld=0.5, largest_area=0.9)
SIZE = 16
FORM = ImageFormat(1, 0, 0)


class Repeater(ProgressiveGenerator):
    """Draws one of the images among its variables, chosen by the latents, a little brighter or darker."""

    def __call__(self, latents, labels, alpha=1.0, update_stats=False):
        images = self.get_variable('stored', 'images')
        chosen = (jax.scipy.stats.norm.cdf(latents[:, 0]) * len(images)).astype(int) % len(images)
        return images[chosen] + 0.02 * jnp.tanh(latents[:, 1, None, None, None])


def _create_repeater(config, images):
    network = create_recipe(config).generator_at(SIZE, FORM)
    fields = {field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
    repeater = Repeater(**{name: value for name, value in fields.items() if name not in ('parent', 'name')})
    return repeater, {'stored': {'images': jnp.asarray(images)}}


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    config = tiny.get_config()
    config.data.name, config.data.data_dir = 'phantom_guard', str(tmp_path_factory.mktemp('data'))
    config.data.phantom.count = 300
    config.data.phantom.images_per_patient = 1
    return config.lock()


@pytest.fixture(scope='module')
def training(config):
    """All training images, and what a run remembers of them."""
    images = create_recipe(config).open_training()
    rows = list(images.in_order(SIZE, 512))
    return np.concatenate([row['image'] for row in rows]), facts_of(images)


def _guard(config, training, network, variables, **changes):
    weights, position = Weights(variables, 1.0), Position(0, 0, 'stage')
    trained = TrainedGenerator(create_recipe(config), training[1], network, weights, position)
    policy = dataclasses.replace(POLICY, **changes)
    return ReleaseGuard(trained, create_extractor('random'), policy, seed=3, batch_size=32)


@pytest.fixture(scope='module')
def repeater(config, training):
    return _guard(config, training, *_create_repeater(config, training[0]))


@pytest.fixture(scope='module')
def untrained(config, training):
    network = create_recipe(config).generator_at(SIZE, FORM)
    latents, labels = jnp.zeros((1, network.latent_size)), jnp.zeros(1, jnp.int32)
    variables = jax.jit(network.init)(jax.random.key(0), latents, labels)
    return _guard(config, training, network, variables)


def test_a_generator_that_repeats_its_patients_is_found_out(repeater):
    area = repeater.attack.area
    assert area.value > 0.9
    with pytest.raises(UserError, match=r'candidates are nearer to a training image than held-out patients are'):
        list(repeater.draw(np.zeros(50, np.int32)))
    with pytest.raises(UserError, match=r'release fails: .* candidates .*; the membership attack tells who was'):
        repeater.judge(anyway=False)
    figures = repeater.judge(anyway=True).figures
    assert figures['withheld'] == figures['candidates'] > 50
    assert figures['released_anyway']


def test_an_untrained_generator_knows_nobody(untrained):
    area = untrained.attack.area
    low, high = area.interval()
    assert low < 0.5 < high
    drawn = list(untrained.draw(np.zeros(50, np.int32)))
    numbers = np.concatenate([batch.numbers for batch in drawn])
    np.testing.assert_array_equal(numbers, np.arange(50))
    assert untrained.judge(anyway=False).verdict == 'pass'


def test_copies_are_caught_and_noise_between_them_is_not(untrained):
    kinds = {kind: COPIES[kind] for kind in ('as it is', 'mirrored')}
    kinds['another image'] = lambda image, other, generator: generator.uniform(-1, 1, image.shape)
    found = {each.kind: each for each in find_copies(untrained, kinds)}
    assert [found[kind].share for kind in kinds] == [1.0, 1.0, 0.0]
    assert found['as it is'].count == min(200, len(untrained.owners[0]))
    assert found['as it is'].interval[0] > 0.95


def test_copies_among_the_images_of_the_attacker_raise_its_area(untrained):
    planted = plant_copies(untrained, 0.6, repeats=2)
    areas = [each.area for each in planted]
    assert [each.share for each in planted] == [0.001, 0.005, 0.01, 0.05]
    assert areas[-1] == max(areas)
    assert areas[-1] > untrained.attack.area.value + 0.1
    assert planted[-1].fails == 1.0


def test_findings_are_told_in_words(untrained, tmp_path):
    images, members = untrained.attacked, untrained.owners[0][untrained.rows]
    findings = Findings(
        workdir='runs/<chest>',
        step=7,
        policy=POLICY,
        release=untrained.judge(anyway=True),
        attack=untrained.attack,
        in_blocks=control_members(images, members, in_blocks=True),
        by_chance=control_members(images, members, in_blocks=False),
        unseen=attack_unseen(images),
        other=None,
        held_out=len(np.unique(untrained.owners[1])),
        copies=find_copies(untrained, {'as it is': COPIES['as it is']}),
        planted=Missing('is not asked for.'),
    )
    write_page(findings, tmp_path)
    page = (tmp_path / 'privacy.html').read_text()
    for words in ('runs/&lt;chest&gt;', 'as it is', 'neighbours', 'It is withheld where', 'is not asked for'):
        assert words in page
    assert (tmp_path / 'control.png').exists()
    found = json.loads(json.dumps(findings.to_json()))
    assert found['controls']['in_blocks']['share_as_high'] > 0.05  # nothing was learned, so nothing is to explain
    assert len(found['controls']['by_chance']['areas']) == 200
    leak = Estimate(0.9, 0.9 + 0.01 * np.resize([1, -1], 20), {})
    leaking = dataclasses.replace(findings, attack=MembershipAttack(leak, calibrated=True))
    assert 'a difference between splits does not explain it' in explain(leaking)


def test_withheld_images_are_replaced(config, training):
    """Half of the images that are drawn are copies; the other half is unlike any."""
    noise = np.random.default_rng(0).uniform(-1, 1, (40, SIZE, SIZE, 1)).astype(np.float32)
    repeater = _create_repeater(config, np.concatenate([training[0][:40], noise]))
    made = _guard(config, training, *repeater, largest_withheld=0.8)
    drawn = list(made.draw(np.zeros(60, np.int32)))
    numbers = np.concatenate([batch.numbers for batch in drawn])
    assert len(numbers) == 60
    assert (np.diff(numbers) > 0).all()
    assert numbers[-1] > 80
    figures = made.judge(anyway=True).figures
    assert figures['candidates'] - figures['withheld'] == 60
    assert figures['candidates'] == numbers[-1] + 1
    assert figures['splits']['train'] == len(training[0])


def test_members_are_images_of_as_many_patients_as_can_be(config, tmp_path, monkeypatch):
    changed = copy.deepcopy(config).unlock()
    changed.data.name, changed.data.data_dir = 'phantom_series', str(tmp_path)
    changed.data.phantom.count, changed.data.phantom.images_per_patient = 160, 4
    images = create_recipe(changed).open_training()
    attacks = []

    def record(members, others, classes, generated, reference):
        attacks.append((members, others, classes))
        return MembershipAttack(Missing('is not asked for.'), calibrated=True)

    monkeypatch.setattr(guard, 'attack', record)
    monkeypatch.setattr(guard, '_ATTACK_IMAGES', 12)
    drawn = np.concatenate([row['image'] for row in images.in_order(SIZE, 512)])
    made = _guard(changed.lock(), (drawn, facts_of(images)), *_create_repeater(changed, drawn))
    ((members, others, classes),) = attacks
    # Of whole patients, twelve images would be of three.
    assert (len(members), members.group_count) == (12, made.thresholds.patients)
    assert members.group_count > 3
    assert [len(labels) for labels in classes] == [12, len(others)]


@pytest.mark.parametrize('split', ['test', 'validation'])
def test_a_run_on_the_judging_splits_is_refused(config, training, split):
    changed = copy.deepcopy(config).unlock()
    changed.data.split = split
    with pytest.raises(UserError, match=f"trained on the split '{split}', with which the gate judges"):
        _guard(changed.lock(), training, *_create_repeater(config, training[0]))


def test_images_that_are_not_finite_are_refused(config, training):
    with pytest.raises(UserError, match='draws images that are not finite'):
        _guard(config, training, *_create_repeater(config, np.full_like(training[0], np.nan)))


def test_other_data_than_the_run_had_are_refused(config, training):
    facts = dataclasses.replace(training[1], fingerprint='another')
    with pytest.raises(UserError, match='is not the one that the generator was trained on'):
        _guard(config, (training[0], facts), *_create_repeater(config, training[0]))
