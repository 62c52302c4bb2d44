"""The U-Net in PyTorch computes and learns what ours does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='peers are tested in their own environment: the extra `peers`')
pytest.importorskip('monai', reason='peers are tested in their own environment: the extra `peers`')

from benchmarks.peers import segmenters  # noqa: E402
from benchmarks.peers.copying import convert_unet  # noqa: E402
from benchmarks.peers.forms import Form  # noqa: E402
from benchmarks.peers.supervised import Trainer  # noqa: E402
from segment.recipe import create_recipe  # noqa: E402
from segment.step import make_predict, make_train_step  # noqa: E402

SIDE, BATCH = 32, 2
EAGER = Form('cpu', 'float32', channels_last=False, compiled=False)


@pytest.fixture
def config():
    config = segmenters.configure(SIDE, BATCH, 'float32')
    config.network.width, config.network.depth = 4, 3
    return config


@pytest.fixture
def batch():
    images, ids = segmenters.draw_batch(SIDE, BATCH)
    return images, ids, torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(ids)


def test_probabilities_are_the_same(config, batch):
    images, _, theirs, _ = batch
    recipe = create_recipe(config)
    variables = recipe.create_state(jax.random.key(0)).network.variables
    ours = jax.jit(make_predict(recipe.network))(variables, images)
    network = segmenters.create_unet(config).eval()
    with torch.no_grad():
        found = network(theirs)[0].softmax(dim=1).permute(0, 2, 3, 1)
    assert np.std(ours) > 0.01
    np.testing.assert_allclose(found, ours, atol=2e-5)


def test_two_updates_are_the_same(config, batch):
    images, ids, torch_images, torch_ids = batch
    config.optimizer.clip = 0.5  # small enough to be felt
    recipe = create_recipe(config)
    step, state = jax.jit(make_train_step(recipe)), recipe.create_state(jax.random.key(0))
    before, trainer = state.network.params, _create_trainer(config)
    data = {'image': jnp.concatenate([images, np.where(ids[..., None] == 1, 1.0, -1.0)], axis=-1)}
    for _ in range(2):
        state, metrics = step(state, data, jax.random.key(0), {})
        loss = trainer.update(torch_images, torch_ids)
        np.testing.assert_allclose(loss, metrics['loss'], rtol=1e-5)
    assert metrics['gradient_norm'] > 0.5
    old, new = (convert_unet({'params': params}) for params in (before, state.network.params))
    for name, parameter in trainer.network.named_parameters():
        ours, theirs = new[name] - old[name], parameter.detach() - old[name]
        scale = float(ours.abs().max())
        assert scale > 0
        np.testing.assert_allclose(theirs, ours, atol=5e-3 * scale + 1e-7, err_msg=name)


def _create_trainer(config):
    return Trainer(segmenters.create_unet(config), segmenters.create_training(config), EAGER)


def test_monai_has_about_as_many_parameters_and_as_many_outputs():
    config = segmenters.configure(64, BATCH, 'float32')
    ours, theirs = segmenters.create_unet(config), segmenters.create_dynunet(config).train()
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (ours, theirs)]
    assert 0.7 < counts[1] / counts[0] < 1.3
    images = torch.zeros(1, 1, 64, 64)
    assert [own.shape for own in theirs(images)] == [own.shape for own in ours.train()(images)]
