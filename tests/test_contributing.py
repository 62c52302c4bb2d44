"""CONTRIBUTING.md's recipes, each carried out once with something small: where a row is added, it is used."""

import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from configs.gan import dcgan
from configs.gan.architectures import DISCRIMINATORS, GENERATORS
from configs.gan.schema import GAN
from detect.attacks.threat import Threat, Worst, create_box, differentiate, find_logits, keep_worst, margins_of
from detect.evaluation.robustness import attacked_logits, measure_robustness, worst_logits
from foundation.statistics.jackknife import POSITIVE, Estimate, create_estimate, find_faults, group_sums, leave_out
from gan import losses
from gan.evaluation import scoring, tables
from gan.families import FAMILIES, pair
from gan.networks.dcgan import DcganDiscriminator, DcganGenerator
from gan.recipe import create_recipe
from gan.scores import patches
from gan.step import create_cycle
from input_pipeline import flags, prepare, readers
from input_pipeline.errors import DataError
from input_pipeline.readers.paths import naming, refusing, require_items, walk
from input_pipeline.readers.pixels import create_record
from input_pipeline.records import Item
from tests.detect.attacks import models
from tests.gan import nets
from tests.gan.evaluation.drawn import CLASSES, draw_described

RECIPES = ('A network', 'A loss', 'A score', 'A reader', 'An attack')


def test_every_recipe_of_the_page_is_carried_out_here():
    page = (Path(__file__).resolve().parents[1] / 'CONTRIBUTING.md').read_text()
    titles = [line.removeprefix('## ') for line in page.splitlines() if line.startswith(('## A ', '## An '))]
    assert titles == list(RECIPES)


def _train(recipe, state, steps=3):
    """The state after a few steps on one batch, and the metrics of each."""
    step, told = jax.jit(create_cycle(recipe)[0]), []
    batch = nets.create_batch(recipe.generator.resolution)
    for number in range(steps):
        state, metrics = step(state, batch, jax.random.key(number), nets.controls(images_seen=8.0 * number))
        told.append(metrics)
    return state, told


def _moved(old, new):
    return any(jax.tree.leaves(jax.tree.map(lambda a, b: not np.array_equal(a, b), old, new)))


def _add_choice(monkeypatch, section, name, value):
    """As a row in the schema's file adds it."""
    field = section.fields[name]
    monkeypatch.setitem(section.fields, name, dataclasses.replace(field, choices=(*field.choices, value)))


class ResizingGenerator(DcganGenerator):
    """DCGAN's generator, doubling by repetition and a convolution, free of checkerboards (Odena et al. 2016)."""

    def _double(self, resolution, x, labels, update_stats):
        name = f'{resolution}x{resolution}'
        doubled = x.repeat(2, axis=1).repeat(2, axis=2)
        x = nn.Conv(self._width(resolution), (3, 3), dtype=self.dtype, name=f'{name}_conv')(doubled)
        return self._activate(name, x, labels, update_stats)


@pytest.mark.slow
def test_a_network(monkeypatch):
    monkeypatch.setitem(FAMILIES, 'resizing', pair(ResizingGenerator, DcganDiscriminator))
    for sections in (GENERATORS, DISCRIMINATORS):
        monkeypatch.setitem(sections, 'resizing', sections['dcgan'])
    _add_choice(monkeypatch, GAN, 'architecture', 'resizing')
    config = dcgan.get_config()
    config.architecture, config.resolution, config.compute_dtype = 'resizing', 8, 'float32'
    config.generator.last_width = config.discriminator.first_width = 8
    config.generator.latent_size, config.discriminator.layers = 16, 1
    config.schedule.batch_size = {'at_8': 8}
    gan = create_recipe(config)
    recipe = gan.step_at(8, gan.image_format(num_classes=0))
    start = jax.jit(functools.partial(gan.create_state, recipe))(jax.random.key(0))
    end, told = _train(recipe, start)
    assert _moved(start.averaged('generator'), end.averaged('generator'))
    assert all(np.isfinite(value) for metrics in told for value in metrics.values())
    labels = jnp.zeros((2,), jnp.int32)
    images = recipe.generator.apply(
        end.averaged('generator'), jax.random.normal(jax.random.key(1), (2, 16)), labels
    )
    assert images.shape == (2, 8, 8, 1)
    assert np.isfinite(images).all()


def pearson_discriminator(real_logits, fake_logits):
    """E[(D(real) - 1)^2] + E[(D(fake) + 1)^2] (Mao et al. 2017, arXiv:1611.04076, section 3.2)."""
    return jnp.square(real_logits - 1).mean() + jnp.square(fake_logits + 1).mean()


def pearson_generator(real_logits, fake_logits):
    """E[D(fake)^2]."""
    del real_logits
    return jnp.square(fake_logits).mean()


@pytest.mark.slow
def test_a_loss(monkeypatch):
    loss = losses.AdversarialLoss(pearson_discriminator, pearson_generator, middle=0.0)
    monkeypatch.setitem(losses.LOSSES, 'pearson', loss)
    _add_choice(monkeypatch, GAN.fields['loss'], 'name', 'pearson')
    config = dcgan.get_config()
    config.loss.name = 'pearson'
    assert create_recipe(config).objective.name == 'pearson'
    real, fake = jnp.asarray([2.0, -1.0]), jnp.asarray([0.5, -3.0])
    np.testing.assert_allclose(loss.discriminator(real, fake), (1 + 4) / 2 + (2.25 + 4) / 2, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(real, fake), (0.25 + 9) / 2, rtol=1e-6)
    everything = jnp.ones((2,), bool)
    exchanged = loss.exchange(real, everything), loss.exchange(fake, everything)
    np.testing.assert_allclose(loss.discriminator(*exchanged), loss.discriminator(fake, real), rtol=1e-6)
    gradients = jax.grad(loss.discriminator, argnums=(0, 1))(jnp.asarray([1e4]), jnp.asarray([-1e4]))
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    recipe = nets.create_recipe('progressive', 4, objective=nets.create_objective('least_squares', 'none'))
    start = nets.create_start(recipe, jax.random.key(0))
    end, told = _train(recipe, start)
    assert _moved(start.averaged('generator'), end.averaged('generator'))
    assert all(np.isfinite(value) for metrics in told for value in metrics.values())


def feature_gap(generated, reference):
    """Euclidean distance of the mean features; 0 or more, lower is better."""
    if fault := find_faults(1, generated=generated, reference=reference):
        return fault
    means = [
        leave_out(group_sums(sample, lambda rows: rows.sum(axis=0))) / leave_out(sample.sizes)[:, None]
        for sample in (generated, reference)
    ]
    values = np.linalg.norm(means[0] - means[1], axis=-1)
    return create_estimate(values, POSITIVE, generated=len(generated), reference=len(reference))


def test_a_score(monkeypatch):
    monkeypatch.setattr(patches, '_DIRECTIONS', 8)
    monkeypatch.setattr(patches, '_REPLICATED', 4)
    monkeypatch.setattr(scoring, '_PAIRS', 100)
    measured = scoring.measure_features

    def measure_features(generated, reference, group_count):
        samples = [described.sample(described.features, group_count) for described in (generated, reference)]
        return {**measured(generated, reference, group_count), 'feature_gap': feature_gap(*samples)}

    monkeypatch.setattr(scoring, 'measure_features', measure_features)
    monkeypatch.setitem(scoring.MEANINGS, 'feature_gap', scoring.Meaning('feature gap', 'lower', 3))
    generated, reference = draw_described(40, 1), draw_described(40, 0)
    score = scoring.measure(generated, reference, 4, CLASSES)['feature_gap']
    assert isinstance(score, Estimate)
    gap = generated.features.astype(np.float64).mean(axis=0) - reference.features.astype(np.float64).mean(axis=0)
    assert score.value == pytest.approx(np.linalg.norm(gap), rel=1e-5)
    without = [
        np.linalg.norm(
            np.subtract(*(
                each.features[each.groups(4) != group].astype(np.float64).mean(axis=0)
                for each in (generated, reference)
            ))
        )
        for group in range(4)
    ]  # fmt: skip
    np.testing.assert_allclose(score.replicates, without, rtol=1e-5)
    assert scoring.measure(reference, reference, 4, CLASSES)['feature_gap'].value == 0
    assert scoring.create_meanings(is_fid=False, is_radiomic=False)['feature_gap'].title == 'feature gap'
    low, high = score.interval()
    shown = {'value': score.value, 'interval': [low, high]}
    assert tables.describe_value(shown, 3) == f'{score.value:.3f} [{low:.3f}, {high:.3f}]'


def scan_grids(path, options, refusals):
    """Reads text files of whole numbers from 0 to 255, a row of pixels a line; each is its own patient."""
    items = []
    for relative in walk(path, refusals):
        with refusing(relative, refusals):
            if relative.suffix != '.grid':
                raise DataError('is not a grid')
            items.append(_grid_item(path, relative, options))
    return require_items(items, path, 'grids (.grid)', refusals)


def _grid_item(root: Path, relative: PurePosixPath, options) -> Item:
    key = str(relative)

    def load() -> Iterator:
        with naming(relative):
            try:
                values = np.loadtxt(root / relative, np.uint8, ndmin=2)[..., None]
            except ValueError as error:
                raise DataError(f'is not a grid of whole numbers ({error})') from error
            yield create_record(key, values, options, key, None, None, key)

    return Item(key, key, None, None, 'uint8', 1, load)


def test_a_reader(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(readers.READERS, 'grid', scan_grids)
    monkeypatch.setattr(flags, 'SOURCES', (*flags.SOURCES, 'grid'))
    files = tmp_path / 'files'
    files.mkdir()
    for number in range(12):
        values = np.random.default_rng(number).integers(0, 256, (5, 7))
        np.savetxt(files / f'{number:02d}.grid', values, fmt='%d')
    (files / 'broken.grid').write_text('1 2\nthree 4\n')
    arguments = ['--source=grid', f'--path={files}', '--name=grids', f'--data_dir={tmp_path / "data"}']
    assert prepare.main(arguments) == 1
    assert 'broken.grid: is not a grid of whole numbers' in capsys.readouterr().err
    assert prepare.main([*arguments, '--on_error=skip', '--modality=CT']) == 0
    summary = json.loads((tmp_path / 'data/grids/1.0.0/summary.json').read_text())
    assert sum(summary['splits'].values()) == 12
    assert summary['modalities'] == {'CT': 12}


def fast_gradient(logits_of, images, labels, key, *, threat):
    """One step to the end of what is allowed (Goodfellow et al. 2015, arXiv:1412.6572); like `pgd` otherwise."""
    del key  # nothing is left to chance
    box = create_box(threat, images)
    logits, slopes = differentiate(logits_of, box.clean)
    harmful = slopes * margins_of(jnp.ones_like(logits), labels)[:, None, None, None]
    changed = jnp.where(harmful > 0, box.low, jnp.where(harmful < 0, box.high, box.clean))
    worst = Worst(box.clean, margins_of(logits, labels))
    return keep_worst(worst, changed, margins_of(find_logits(logits_of, changed), labels)).images


@pytest.mark.parametrize('levels', [None, 256])
def test_an_attack(levels):
    threat, images, labels = Threat(0.1, levels), np.asarray(models.IMAGES), np.asarray(models.LABELS)
    attacked = fast_gradient(models.LINEAR, models.IMAGES, models.LABELS, models.KEY, threat=threat)
    box = create_box(threat, models.IMAGES)
    assert ((attacked >= box.low) & (attacked <= box.high)).all()

    def attack(shown, labels, key):
        return fast_gradient(models.LINEAR, shown, labels, key, threat=threat)

    found = attacked_logits(models.LINEAR, attack, images, labels, models.KEY, batch=4)
    # No attack on a linear detector can do more.
    expected = models.worst_logits(box.clean, labels, threat.reach)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    clean = np.asarray(find_logits(models.LINEAR, box.clean))
    robust = measure_robustness(clean, worst_logits([clean, found], labels), labels, threshold=0.0)
    assert robust.accuracy == ((found > 0) == labels).mean()
    assert robust.auroc == pytest.approx(roc_auc_score(labels, found))
