"""A segmenter asked of generated and held-out images: which it may be, what it is asked, and what is shown."""

import dataclasses
import json

import numpy as np
import pytest

from configs.segment import unet
from foundation import commands
from foundation.training.errors import UserError
from gan.evaluation import agreement, scoring, sets
from gan.evaluation.agreement import Pairs, ReferenceSegmenter, ask_segmenter
from gan.evaluation.evaluation import evaluate
from gan.evaluation.masks import DrawnMasks
from gan.evaluation.report import create_report, write_evaluation
from gan.evaluation.tables import agreement_caption, agreement_rows
from gan.generator import TrainedGenerator, Weights
from gan.recipe import create_recipe
from gan.scores import patches
from input_pipeline import to_unit
from segment.segmenter import TrainedSegmenter
from segment.train import train_and_evaluate
from tests.foundation.training.in_process import train_here
from tests.gan.evaluation.drawn import create_extractor, create_protocol, write_run
from tests.gan.weights.generators import FACTS, create_config, draw_variables

FIELDS = {'resolution': 32, 'patch': 32, 'mask_classes': 1, 'channels': 1, 'data.window': 'stored'}


@pytest.fixture(scope='module')
def generator():
    """Of 8-bit images of 8x8 with masks of one class."""
    recipe = create_recipe(create_config('progressive'))
    variables, position = draw_variables(recipe, '8x8')
    network = recipe.generator_at(8, recipe.image_format(len(FACTS.classes)))
    return TrainedGenerator(recipe, FACTS, network, Weights(variables, 1.0), position)


def _write_segmenter(folder, facts=FACTS, **changes):
    """What a run of segment.main leaves, without its weights."""
    config = unet.get_config('small').lock()
    config.update_from_flattened_dict(FIELDS | {'network.depth': 3} | changes)
    folder.mkdir()
    (folder / 'config.json').write_text(config.to_json())
    (folder / 'data.json').write_text(json.dumps(dataclasses.asdict(facts)))
    return folder


def test_it_tells_what_it_is(generator, tmp_path):
    own = ReferenceSegmenter.read(
        _write_segmenter(tmp_path / 'own', **{'data.class_names': ('tumour',)}), generator
    )
    assert (own.classes, own.resolution, own.same_data) == (('tumour',), 32, True)
    foreign = dataclasses.replace(FACTS, name='elsewhere', fingerprint='e' * 64)
    other = ReferenceSegmenter.read(_write_segmenter(tmp_path / 'other', foreign), generator)
    assert (other.classes, other.data, other.same_data) == (('class 1',), 'elsewhere', False)
    assert json.loads(json.dumps(other.describe()))['data'] == 'elsewhere'


@pytest.mark.parametrize(
    ('facts', 'changes', 'expected'),
    [
        ({}, {'channels': 3}, r'differs from the generator in its channels \(3, not 1\)'),
        ({}, {'mask_classes': 2}, r'in its mask classes \(2, not 1\)'),
        ({}, {'context': 1}, r'in its slices beside each \(1, not 0\)'),
        ({}, {'data.window': 'volume'}, r'in its window \(volume, not stored\)'),
        ({'dtype': 'uint16'}, {'data.window': 'auto'}, r'in its window \(volume, not stored\)'),
        ({}, {'data.window': 'dataset'}, r'in its window \(\(-1000\.0, 1000\.0\), not stored\)'),
    ],
)
def test_one_that_sees_other_images_or_masks_is_refused(generator, tmp_path, facts, changes, expected):
    folder = _write_segmenter(tmp_path / 'run', dataclasses.replace(FACTS, **facts), **changes)
    with pytest.raises(UserError, match=expected):
        ReferenceSegmenter.read(folder, generator)


def test_what_is_no_segmenter_or_no_mask_is_refused(generator, tmp_path):
    folder = _write_segmenter(tmp_path / 'run')
    config = create_config('progressive')
    (folder / 'config.json').write_text(config.to_json())
    with pytest.raises(UserError, match=r'holds no segmenter; name the workdir of a run of segment\.main'):
        ReferenceSegmenter.read(folder, generator)
    config.mask_classes = 0
    plain = dataclasses.replace(generator, recipe=create_recipe(config))
    with pytest.raises(UserError, match='a generator here draws none'):
        ReferenceSegmenter.read(folder, plain)


def _draw_pairs(count=12, classes=2):
    rng = np.random.default_rng(0)
    masks = rng.integers(0, classes + 1, (count, 8, 8, 1)).astype(np.uint8)
    images = (60 * masks + rng.integers(0, 20, masks.shape)).astype(np.uint8)
    return Pairs(images, masks, np.arange(count) // 2)


def _segmenter(segment, tmp_path):
    return ReferenceSegmenter(tmp_path, ('liver', 'tumour'), 'set', 8, True, segment)


def test_pairs_are_judged_and_the_worst_are_shown(tmp_path):
    pairs = _draw_pairs()

    def find(images):
        np.testing.assert_array_equal(images, pairs.images)
        found = (images // 60).astype(np.uint8)
        found[5] = 0  # the worst
        found[3, :4] = 0  # the next
        return found

    judged = _segmenter(find, tmp_path).judge(pairs, 3, real=True)
    assert judged.scores['liver'].counts == {'images': 12}
    assert 0.8 < judged.scores['liver'].value < 11 / 12
    own, found = judged.worst
    assert own.shape == found.shape == (12, 8, 8, 3)
    np.testing.assert_array_equal(own[:2, ..., 1] > 0, pairs.masks[[5, 3], ..., 0] == 1)
    assert (found[0, ..., 1:] == -1).all()
    np.testing.assert_allclose(own[0, ..., 0], pairs.images[5, ..., 0] / 127.5 - 1, atol=1e-6)


def test_exchanged_classes_are_told_on_real_images_alone(tmp_path):
    pairs = _draw_pairs()
    exchanging = _segmenter(lambda images: np.array([0, 2, 1], np.uint8)[images // 60], tmp_path)
    with pytest.raises(UserError, match=r'have class 1 of the masks, it finds its class 2 \(tumour\) rather than'):
        exchanging.judge(pairs, 3, real=True)
    assert exchanging.judge(pairs, 3, real=False).scores['liver'].value < 0.5


def test_generated_images_are_kept_as_they_would_be_stored(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (10, 8, 8, 1)).astype(np.float32)
    shown = (rng.uniform(size=(10, 8, 8, 1)) < 0.4).astype(np.uint8)
    monkeypatch.setattr('gan.evaluation.masks._PAIR_BYTES', 7 * 8 * 8 * 2)
    drawn = DrawnMasks(np.dtype(np.uint16))
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        drawn.add(images[rows], shown[rows])
    pairs = drawn.pairs()
    np.testing.assert_allclose(pairs.images, (images[:7].astype(np.float64) + 1) * 65535 / 2, atol=0.51)
    np.testing.assert_array_equal(pairs.masks, shown[:7])
    assert drawn.score(4)['present'].counts == {'images': 10}  # shapes are measured of more


def test_the_sentence_of_the_command_is_passed_on(monkeypatch, tmp_path):
    class Done:
        returncode, stdout = 1, 'a log line\nError: it holds no checkpoint.\n'

    monkeypatch.setattr(commands.subprocess, 'run', lambda *arguments, **options: Done)
    with pytest.raises(UserError, match=r'cannot segment these images: it holds no checkpoint\.$'):
        ask_segmenter(tmp_path, np.zeros((1, 8, 8, 1), np.uint8))


@pytest.mark.slow
def test_an_evaluation_asks_the_command(tmp_path, monkeypatch):
    """A U-Net of one step, trained on the generator's data; its answers are those of the network itself."""
    monkeypatch.setattr(patches, '_DIRECTIONS', 2)
    monkeypatch.setattr(patches, '_REPLICATED', 1)
    monkeypatch.setattr(scoring, '_PAIRS', 20)
    monkeypatch.setattr(sets, '_CACHE', tmp_path / 'cache')
    run = write_run(tmp_path, 'run', 0, mask_classes=1)
    config = unet.get_config('small').lock()
    changes = {'resolution': 16, 'patch': 16, 'network.depth': 2, 'network.width': 4, 'mask_classes': 1}
    changes |= {'data.name': 'phantom_evaluated', 'data.data_dir': str(tmp_path / 'data')}
    changes |= {'data.phantom.count': 96, 'data.phantom.size': 16}
    config.update_from_flattened_dict(changes | {'schedule.steps': 1, 'watch.steps': 1})
    train_here(train_and_evaluate, config, tmp_path / 'unet')
    asked = []

    def asking(workdir, images):
        asked.append((images, ask_segmenter(workdir, images)))
        return asked[-1][1]

    monkeypatch.setattr(agreement, 'ask_segmenter', asking)
    protocol = create_protocol(segmenter=tmp_path / 'unet')
    plain = write_run(tmp_path, 'plain', 1)
    with pytest.raises(UserError, match='a generator here draws none'):
        evaluate([run, plain], create_extractor(), protocol)
    reals, (evaluated,) = evaluate([run], create_extractor(), protocol)
    assert [len(images) for images, _ in asked] == [len(reals.held_out), 40]
    segmenter = TrainedSegmenter.load(tmp_path / 'unet', None, best=True, mirror=False)
    for images, found in asked:
        expected = segmenter.predict(segmenter.variables, to_unit(images)).argmax(axis=-1)
        assert (found[..., 0] == expected).mean() > 0.999
    report = create_report(reals, [evaluated], create_extractor(), protocol)
    write_evaluation(tmp_path / 'out', report, reals, [evaluated])
    (name, *values), *others = agreement_rows(report['runs'][0])
    assert (name, others) == ('class 1', [])
    assert all('[' in value for value in values)
    caption = agreement_caption(report['runs'][0])
    assert 'phantom_evaluated, 16x16' in caption
    assert 'other data' not in caption
    assert 'Dice of what the segmenter' in (tmp_path / 'out' / 'report.html').read_text()
    assert (tmp_path / 'out' / 'worst_pairs1.png').exists()
