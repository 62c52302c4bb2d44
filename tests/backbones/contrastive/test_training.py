"""Encoders without labels: from phantoms to an extractor, whatever stops it, and what is refused."""

import json
import logging
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backbones.contrastive import train as training
from backbones.contrastive.encoder import ContrastiveEncoder
from backbones.contrastive.recipe import create_contrastive_recipe
from backbones.contrastive.train import make_contrastive_step, train_contrastive
from backbones.encoders import find_encoder
from backbones.extractors import restore_classifier, restore_extractor
from foundation.training import loop
from foundation.training.errors import UserError
from gan.evaluation.extractors import create_extractor
from input_pipeline import DataError
from tests.backbones.contrastive.encoders import BATCH, IMAGES, create_config
from tests.foundation.training.in_process import train_here
from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.command import Commands


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    """Where the phantoms are, drawn when first asked for."""
    return tmp_path_factory.mktemp('shared') / 'data'


@pytest.fixture(scope='module')
def trained(data_dir, tmp_path_factory):
    """The workdir of a run that was never stopped."""
    workdir = tmp_path_factory.mktemp('trained')
    train_here(train_contrastive, create_config(data_dir), workdir)
    return workdir


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_of_their_own_batch(data_dir):
    recipe = create_contrastive_recipe(create_config(data_dir, optimizer__learning_rate=1e-2))
    rows = np.random.default_rng(0).uniform(-1, 1, (BATCH, 16, 16, 1)).astype(np.float32)
    batch = {'image': jnp.asarray(rows), 'label': jnp.arange(BATCH)}
    step, state, losses = jax.jit(make_contrastive_step(recipe)), recipe.create_state(jax.random.key(0)), []
    for _ in range(6):
        state, metrics = step(state, batch, jax.random.key(1), {})
        losses.append(float(metrics['loss']))
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.slow
def test_devices_do_not_change_the_mathematics(tmp_path):
    """Views are told from those of the global batch, on whatever device they are."""
    process = Commands(tmp_path).start('tests.backbones.contrastive.steps_on_devices', devices=8)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    devices, apart, moved = output.split()[-3:]
    assert int(devices) == 8
    assert float(apart) < 1e-5 < 1e-4 < float(moved)


@pytest.mark.slow
def test_a_run_leaves_an_extractor_and_an_encoder(trained):
    told = json.loads((trained / 'self_supervised.json').read_text())
    looks = {line['images_seen']: line for line in logged_metrics(trained) if 'contrast' in line}
    assert sorted(looks) == [IMAGES // 2, IMAGES]
    best = min(looks, key=lambda seen: looks[seen]['contrast'])
    assert told['step'] * BATCH == best
    for name in ('contrast', 'alignment', 'uniformity'):
        assert told[name] == pytest.approx(looks[best][name], rel=1e-5)
    assert told['neighbours']['accuracy']['value'] == pytest.approx(looks[best]['neighbours'])
    assert (trained / 'curves.png').exists()
    saved = saved_state(trained / 'best_checkpoints', told['step'])
    extractor = create_extractor(str(trained))
    assert (extractor.classes, extractor.channels, extractor.is_fid) == ((), (1,), False)
    kernel = np.asarray(extractor.variables['params']['stem_conv']['kernel'])
    np.testing.assert_array_equal(kernel, saved["['network']['params']['encoder']['stem_conv']['kernel']"])
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 1)), jnp.float32)
    extracted = extractor.extract(extractor.variables, images)
    assert extracted.probabilities.shape == (3, 0)
    network = ContrastiveEncoder.load(trained).network
    expected = network.apply(extractor.variables, images, train=False).pooled
    np.testing.assert_allclose(extracted.features, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(
        UserError, match=r'self-supervised encoder .* takes images of 1 channels, but these have 3'
    ):
        extractor.check_channels(3)
    encoder, weights = find_encoder(str(trained), 1)
    assert (encoder.architecture, encoder.channels, encoder.halvings) == ('resnet', 1, 3)
    np.testing.assert_array_equal(weights['params']['stem_conv']['kernel'], kernel)
    assert 'head' not in weights['params']
    with pytest.raises(UserError, match=r'finished classifier, but a run of another task; .* --workdir=ANOTHER'):
        restore_classifier(trained)


@pytest.mark.slow
def test_sigterm_changes_nothing(data_dir, trained, tmp_path, monkeypatch):
    call, stop_at = loop._Runner._call, IMAGES // 2 + BATCH

    def calling(self, *arguments):
        call(self, *arguments)
        if self._position.images_seen == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    seldom = create_config(data_dir, run__checkpoint_images=1000)
    with monkeypatch.context() as patched:
        patched.setattr(loop._Runner, '_call', calling)
        train_here(train_contrastive, seldom, tmp_path)
    with pytest.raises(UserError, match='holds no finished encoder; run its training command again'):
        restore_extractor(tmp_path)
    train_here(train_contrastive, seldom, tmp_path)
    resumed, whole = (saved_state(folder / 'checkpoints', IMAGES // BATCH) for folder in (tmp_path, trained))
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not np.array_equal(resumed[name], whole[name])]
    assert logged_metrics(tmp_path) == logged_metrics(trained)
    assert (tmp_path / 'self_supervised.json').read_text() == (trained / 'self_supervised.json').read_text()


@pytest.mark.slow
def test_a_collapse_is_told(data_dir, trained, tmp_path, caplog):
    """A projection that has forgotten its input: all images have one place."""
    recipe = create_contrastive_recipe(create_config(data_dir))
    train, validation = (training._open(recipe, split) for split in ('train', 'validation'))
    look = training.Look(recipe, training.parallel.create_mesh(), train, validation)
    variables = recipe.create_state(jax.random.key(0)).network.variables
    last = variables['params']['projected']
    gone = variables | {'params': variables['params'] | {'projected': {
        'kernel': jnp.zeros_like(last['kernel']), 'bias': jnp.ones_like(last['bias'])}}}  # fmt: skip
    with caplog.at_level(logging.WARNING):
        values = look.measure(gone)
    assert values['uniformity'] == pytest.approx(0, abs=1e-5)
    assert 'The features have collapsed: uniformity is' in caplog.text
    workdir = shutil.copytree(trained, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints'))
    path = workdir / 'self_supervised.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'uniformity': -0.1}))
    with caplog.at_level(logging.WARNING):
        restore_extractor(workdir)
    assert 'its features have collapsed (uniformity -0.10)' in caplog.text
    path.write_text(json.dumps(json.loads(path.read_text()) | {'uniformity': None}))
    with pytest.raises(UserError, match=r'self_supervised\.json is damaged'):
        restore_extractor(workdir)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (
            {'schedule__batch_size': 1000, 'schedule__images': 2000},
            r'batch_size is 1000, but there are \d+ training images; make it smaller',
        ),
        ({'schedule__images': 8}, 'config.schedule.images is 8, fewer than a batch has'),
        ({'contrast__temperature': 0.0}, r'config\.contrast\.temperature is 0\.0, but must be above 0'),
        ({'views__part': 1.5}, r'config\.views\.part is 1\.5, but must be at most 1'),
        ({'data__phantom__images_per_patient': 120, 'data__name': 'phantom_one'}, 'one patient in its|no split'),
        ({'data__name': 'nowhere'}, 'Prepare it with: python -m input_pipeline.prepare'),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(data_dir, tmp_path, changes, expected):
    config = create_config(data_dir, **changes)
    with pytest.raises((UserError, DataError), match=expected):
        train_contrastive(config, tmp_path / 'run')
    assert list(tmp_path.iterdir()) == []
