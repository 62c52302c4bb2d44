"""Time that counts when training goes on: what the newest checkpoint holds, and not what a kill lost."""

import dataclasses
import json

import jax.numpy as jnp
import pytest

from backbones.images import DataFacts
from benchmarks.zoo.training import seconds_kept
from configs.gan import tiny
from foundation.training.checkpoints import Checkpoints, Position

FACTS = DataFacts('set', '0' * 64, 40, 20, ('healthy', 'ill'), 'uint8', None)


@pytest.fixture
def workdir(tmp_path):
    """A run that was killed at 128 images, 4 a second."""
    (tmp_path / 'config.json').write_text(tiny.get_config().to_json_best_effort())
    (tmp_path / 'data.json').write_text(json.dumps(dataclasses.asdict(FACTS)))
    lines = [{'step': n, 'phase': '4x4', 'images_seen': 32 * n, 'images_per_second': 4.0} for n in range(1, 5)]
    (tmp_path / 'metrics.jsonl').write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
    return tmp_path


def test_time_up_to_the_newest_checkpoint_counts(workdir):
    checkpoints = Checkpoints(workdir / 'checkpoints', keep=1)
    checkpoints.save({'weights': jnp.zeros(2)}, Position(2, 64, '4x4'))
    checkpoints.wait()
    checkpoints.close()
    assert seconds_kept(workdir) == pytest.approx(64 / 4)


def test_without_a_checkpoint_all_begins_anew(workdir):
    assert seconds_kept(workdir) == 0
    assert seconds_kept(workdir / 'nothing') == 0
