"""Workdirs of other tasks are told apart from those of generators."""

import json

import pytest

from configs.backbones import classifier
from configs.detect import detector
from configs.gan import tiny
from configs.segment import unet
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.generator import read_recipe


def _prepare(workdir, module):
    workdirs.prepare_workdir(workdir, json.loads(module.get_config().to_json()), fixed=(), write=True)


@pytest.mark.parametrize('module', [classifier, detector, unet], ids=lambda module: module.__name__)
def test_runs_of_other_tasks_are_refused(tmp_path, module):
    _prepare(tmp_path, module)
    with pytest.raises(UserError, match='its run is of another task'):
        read_recipe(tmp_path)


def test_runs_of_generators_are_not(tmp_path):
    _prepare(tmp_path, tiny)
    assert read_recipe(tmp_path).architecture == 'progressive'
