"""Masks in an evaluation: measured as images are drawn, and those of real images once for all runs."""

import numpy as np
import pytest

from gan.evaluation import masks, scoring, sets
from gan.evaluation.evaluation import evaluate
from gan.evaluation.masks import DrawnMasks
from gan.sampler import Sampler
from gan.scores import patches
from gan.scores.masks import MEASURES, measure_masks
from tests.gan.evaluation.drawn import create_extractor, create_protocol, write_run


def test_drawn_masks_are_measured_as_they_pass_by(monkeypatch):
    """In batches of any size, and no more of them than a set has."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (10, 8, 8, 1)).astype(np.float32)
    shown = (rng.uniform(size=(10, 8, 8, 1)) < 0.4).astype(np.uint8)
    monkeypatch.setattr(masks, 'LARGEST', 7)
    drawn = DrawnMasks()
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        drawn.add(images[rows], shown[rows])
    expected, scores = measure_masks(images[:7], shown[:7]), drawn.score(4)
    assert list(scores) == list(MEASURES)
    for column, score in enumerate(scores.values()):
        assert score.value == pytest.approx(np.nanmean(expected[:, column]))
        assert score.counts == {'images': 7}


@pytest.mark.slow
def test_real_masks_are_measured_once_and_no_image_is_drawn_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(patches, '_DIRECTIONS', 2)
    monkeypatch.setattr(patches, '_REPLICATED', 1)
    monkeypatch.setattr(scoring, '_PAIRS', 20)
    monkeypatch.setattr(sets, '_CACHE', tmp_path / 'cache')
    measured, drawn = [], []
    measure, draw = masks._measure_reals, Sampler.draw_numbered

    def measuring(trained, split, batch_size):
        measured.append(split)
        return measure(trained, split, batch_size)

    def drawing(self, weights, seed, numbers, labels):
        drawn.extend(numbers.tolist())
        return draw(self, weights, seed, numbers, labels)

    monkeypatch.setattr(masks, '_measure_reals', measuring)
    monkeypatch.setattr(Sampler, 'draw_numbered', drawing)
    runs = [write_run(tmp_path, name, seed, mask_classes=1) for seed, name in enumerate(('first', 'second'))]
    _, (first, second) = evaluate(runs, create_extractor(), create_protocol())
    assert measured == ['train', 'test']
    assert drawn == 2 * list(range(40))
    assert list(first.masks) == list(second.masks) == ['generated', 'reference', 'held_out']
    for kind in ('reference', 'held_out'):
        assert first.masks[kind]['present'].value == second.masks[kind]['present'].value > 0
    for run in (first, second):
        assert run.masks['generated']['present'].counts == {'images': 40}
