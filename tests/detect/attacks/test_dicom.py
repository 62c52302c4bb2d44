"""An attack within a few Hounsfield units survives being saved as DICOM and read by the command."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pydicom
import pytest

from detect.attacks.evasion import pgd
from detect.attacks.threat import Threat, eps_of_hounsfield, hounsfield_levels
from detect.data import is_real, read_batches
from detect.evaluation.outputs import read_detector
from detect.evaluation.robustness import logits_of
from detect.predictions import read_case
from detect.recipe import create_recipe
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import reader_options
from tests.input_pipeline.series import save_series

LOW, WIDTH = -160, 255  # Hounsfield units of the window
STEP = 3  # of the attack


@pytest.fixture(scope='module')
def judge_logits(detector_workdir):
    return logits_of(read_detector(detector_workdir, ''))


@pytest.fixture(scope='module')
def clean(create_config):
    """Real CT as the network sees it, on whole Hounsfield units."""
    images = create_recipe(create_config()).data.open('test', train=False)
    chosen = is_real(images) & (np.array(images.records.modalities) == 'CT')
    (shown,) = read_batches(images, create_config().resolution, 64, chosen)
    return np.rint((shown + 1) / 2 * WIDTH) / WIDTH * 2 - 1


def _save(folder, images):
    """As a series of twice the size, whose pixels are those of the images, each four times.

    A last slice holds both ends of the window.
    """
    last = np.full_like(images[:1], -1)
    last[:, ::2] = 1  # so much of it that the slice is not blank
    units = np.rint((np.concatenate([images, last])[..., 0] + 1) / 2 * WIDTH + LOW).astype(np.int16)
    stored = units.repeat(2, axis=1).repeat(2, axis=2) + 1024  # less by its intercept
    for path in save_series(folder, stored, np.arange(len(stored)) * 2.0):
        dataset = pydicom.dcmread(path)
        dataset.PixelSpacing = [1, 1]  # square, so that each pixel stays what it is
        dataset.save_as(path)


def _judge(judge, folder):
    options = dataclasses.replace(reader_options(2, 2**20), percentiles=(0.0, 100.0))
    (incoming,) = find_incoming([folder], options, Refusals(skip=True))
    return judge.judge(read_case(incoming)[0]).shown[:-1]


@pytest.mark.slow
def test_it_reaches_the_network_as_it_was_made(judge, judge_logits, clean, tmp_path):
    threat = Threat(eps_of_hounsfield(STEP, WIDTH), hounsfield_levels(WIDTH))
    attack = functools.partial(pgd, judge_logits, threat=threat, objective='margin', steps=10, restarts=1)
    attacked = np.asarray(attack(jnp.asarray(clean), jnp.zeros(len(clean), jnp.int32), jax.random.key(0)))
    _save(tmp_path / 'clean', clean)
    _save(tmp_path / 'attacked', attacked)
    before, after = (_judge(judge, tmp_path / name) for name in ('clean', 'attacked'))
    np.testing.assert_allclose(before, clean, atol=1e-5)
    np.testing.assert_allclose(after, attacked, atol=1e-5)
    changes = (after - before) / 2 * WIDTH
    np.testing.assert_allclose(changes, np.rint(changes), atol=1e-3)
    assert 0 < abs(changes).max() < STEP + 1e-3
    logits = [np.asarray(judge_logits(jnp.asarray(images))) for images in (before, after, attacked)]
    assert (logits[1] > logits[0] + 0.5).all()
    np.testing.assert_allclose(logits[1], logits[2], atol=1e-2)
