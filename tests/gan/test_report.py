"""Reports: what they say of runs that are finished, have just begun or are damaged, and what they show."""

import contextlib
import dataclasses
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from backbones.images import DataFacts, facts_of
from configs.gan import tiny
from foundation.training.checkpoints import Checkpoints, Position
from foundation.training.errors import UserError
from gan.generator import TrainedGenerator, Weights
from gan.recipe import SampleGrid, create_recipe
from gan.reporting import curves, figures, neighbours, tables
from gan.reporting import grids as drawing
from gan.reporting import grids as moments
from gan.reporting.runs import ReportedRun, read_runs
from gan.reporting.sections import write_report
from tests.gan.nets import create_networks

FACTS = DataFacts('set', '0' * 64, 40, 20, ('healthy', 'ill'), 'uint8', None)


class _Pictures(HTMLParser):
    """The alternative texts of a page's pictures."""

    def __init__(self, page: Path):
        super().__init__()
        self.texts: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        if tag == 'img':
            self.texts.append(dict(attributes)['alt'])


def _write_run(workdir: Path, lines=(), grids=(), **fields) -> Path:
    """A workdir without checkpoints."""
    config = tiny.get_config()
    config.update_from_flattened_dict(fields)
    (workdir / 'samples').mkdir(parents=True)
    (workdir / 'config.json').write_text(config.to_json_best_effort())
    (workdir / 'data.json').write_text(json.dumps(dataclasses.asdict(FACTS)))
    (workdir / 'metrics.jsonl').write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
    for images in grids:
        grid = np.full((2 * 64, 4 * 64, 3), images % 251, np.uint8)
        Image.fromarray(grid).save(workdir / 'samples' / f'{images:09d}_16x16.png')
    return workdir


def _training_line(images: int, **values: float) -> dict:
    return {'step': images // 8, 'phase': '16x16', 'images_seen': images, 'images_per_second': 4.0, **values}


def _read(*workdirs: Path) -> list[ReportedRun]:
    return read_runs(list(workdirs))


def _draw_state(shapes, seed: int):
    """Any values at all: nothing needs to be compiled for them."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype), shapes)


@pytest.fixture(scope='module')
def checkpointed(tmp_path_factory):
    """A conditional run whose first step was the best and whose second was the last, as if it had been trained."""
    folder = tmp_path_factory.mktemp('runs')
    watched = {'step': 1, 'phase': '16x16', 'images_seen': 104, 'distance': 2.0, 'coverage': 0.5}
    lines = [_training_line(104, generator_loss=1.0), watched, _training_line(112, generator_loss=2.0)]
    fields = {'conditional': True, 'data.data_dir': str(folder / 'data')}
    workdir = _write_run(folder / 'run', lines, [104, 112], **fields)
    recipe = _read(workdir)[0].recipe
    facts = facts_of(recipe.open_training())
    facts.write(workdir)
    shapes = recipe.abstract_state(16, recipe.image_format(len(facts.classes)))
    for name, step in [('best_checkpoints', 1), ('checkpoints', 2)]:
        with contextlib.closing(Checkpoints(workdir / name, keep=1)) as checkpoints:
            checkpoints.save(_draw_state(shapes, step), Position(step, 96 + 8 * step, '16x16'))
    return workdir


@pytest.mark.slow
def test_the_command_reports_runs_with_and_without_their_data(commands, checkpointed, tmp_path):
    moved = shutil.copytree(checkpointed, tmp_path / 'moved')
    config = json.loads((moved / 'config.json').read_text())
    config['data']['name'] = 'gone'
    (moved / 'config.json').write_text(json.dumps(config))
    done = commands.run('gan.report', f'--workdir={checkpointed}', str(moved))
    assert done.returncode == 0, done.stdout
    page = checkpointed / 'comparison' / 'index.html'
    assert f'Report: {page}' in done.stdout
    both = {f'{name}_{number}' for name in ('best_and_last', 'interpolation') for number in (1, 2)}
    assert {path.stem for path in page.parent.glob('*.png')} == both | {'comparison', 'curves', 'neighbours_1'}
    shown = '\n'.join(_Pictures(page).texts)
    assert shown.count('best: 104 images, 2.74 epochs, distance 2; last: 112 images') == 2
    assert shown.count('nearest of all 38 training images') == 1
    assert page.read_text().count('The training images cannot be looked at: ') == 1


def test_runs_without_checkpoints_and_with_hostile_names_are_reported(tmp_path):
    hostile = '_<b onload=x>$\\frac$ \u4e2d'
    lines = [_training_line(16, generator_loss=1.0, discriminator_loss=2.0)]
    first = _write_run(tmp_path / hostile, lines, [32])
    second = _write_run(tmp_path / 'other', [], [], **{'optimizer.b1': 0.5})
    page = write_report(_read(first, second), tmp_path / 'out')
    text = page.read_text()
    assert '<b onload' not in text
    assert '&lt;b onload=x&gt;$\\frac$ \u4e2d' in text
    assert text.count('holds no checkpoint yet; train longer first.') == 2
    assert text.count('holds no best checkpoint yet') == 2
    assert text.count('There is no checkpoint to draw from.') == 4
    assert {path.name for path in page.parent.iterdir()} == {'index.html', 'comparison.png', 'curves.png'}


def test_a_run_that_has_just_begun_is_reported(tmp_path):
    page = write_report(_read(_write_run(tmp_path / 'run')), tmp_path / 'out')
    assert 'No samples yet' in page.read_text()
    assert 'No metrics yet' in page.read_text()
    assert [path.name for path in page.parent.iterdir()] == ['index.html']


def test_a_report_ends_with_the_papers_of_its_runs(tmp_path):
    run = _write_run(tmp_path / 'run')
    text = write_report(_read(run), tmp_path / 'report').read_text()
    papers = text.rpartition('<h2')[2]
    assert 'Papers</h2>' in papers
    assert '@article{waqas2022,' in papers
    assert papers.count('@inproceedings{karras2018,') == 1


def test_only_fields_that_differ_are_listed(tmp_path):
    runs = _read(
        _write_run(tmp_path / 'a'),
        _write_run(tmp_path / 'b', **{'optimizer.b1': 0.5, 'data.modalities': ('CT',)}),
    )
    assert tables.differing_fields(runs) == [
        ['data.modalities', '()', '(CT)'],
        ['optimizer.b1', '0.0', '0.5'],
    ]
    path = tmp_path / 'b' / 'config.json'
    config = json.loads(path.read_text())
    config['optimizer']['b3'] = 1
    path.write_text(json.dumps(config))
    assert ['optimizer.b3', 'no such field', '1'] in tables.differing_fields(_read(*(run.workdir for run in runs)))


def test_the_summary_says_how_far_and_how_well(tmp_path):
    watched = [
        {'step': 1, 'phase': '16x16', 'images_seen': images, 'distance': distance, 'collapsed': collapsed}
        for images, distance, collapsed in [(64, 0.1, 0), (104, 2.0, 0), (120, 9.0, 1)]
    ]
    lines = [_training_line(40), *watched, _training_line(80) | {'images_per_second': 1.0}]
    run = _write_run(tmp_path / 'run', lines)
    (run / 'log.txt').write_text('T INFO 1 x cpu (cpu), 1 process(es), JAX 0.1, revision a\nT INFO Config:\n')
    summary = dict(tables.summarize(_read(run)))
    assert summary['images seen'] == '120 of 160 (75%), 3 epochs'
    assert summary['last distance'] == '9 at 120 images'
    assert summary['best distance'] == '2 at 104 images'  # 16x16 begins at 96: 0.1 was of smaller images
    assert summary['collapses'] == '1, the last at 120 images'
    assert summary['time'] == '50 s'  # 40 images at 4 a second, 40 at 1
    assert summary['machine'] == '1 x cpu (cpu), 1 process(es), JAX 0.1, revision a'
    assert summary['parameters'] == 'generator 5,075, discriminator 4,146'  # as main's overview counts them


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        ('{"step": 1}\nnot json\n{"step": 3}\n', r'metrics.jsonl, line 2 is damaged'),
        ('[1]\n', 'line 1 is damaged'),
        ('{"step": 1, "images_seen": "many"}\n', 'line 1 is damaged'),
        ('{"step": 1, "images_seen": 8, "distance": "short"}\n', 'line 1 is damaged'),
    ],
)
def test_damaged_metrics_are_named(tmp_path, lines, message):
    run = _write_run(tmp_path / 'run')
    (run / 'metrics.jsonl').write_text(lines)
    with pytest.raises(UserError, match=message):
        _read(run)


def test_a_line_that_is_still_being_written_is_left_out(tmp_path):
    run = _write_run(tmp_path / 'run', [_training_line(16)])
    with (run / 'metrics.jsonl').open('a') as file:
        file.write('{"step": 4, "imag')
    assert [line['images_seen'] for line in _read(run)[0].lines] == [16]


def test_folders_that_cannot_be_reported_are_refused(tmp_path):
    run = _write_run(tmp_path / 'run')
    (tmp_path / 'empty').mkdir()
    for workdirs, message in [
        ((tmp_path / 'missing',), 'missing is no folder'),
        ((tmp_path / 'empty',), 'holds no config.json'),
        ((run, tmp_path / 'empty' / '..' / 'run'), 'is given twice'),
    ]:
        with pytest.raises(UserError, match=message):
            _read(*workdirs)
    config = json.loads((run / 'config.json').read_text())
    del config['watch']
    (run / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UserError, match=r'config\.json does not fit this version'):
        _read(run)


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = _read(_write_run(tmp_path / 'a' / 'run'), _write_run(tmp_path / 'b' / 'run'))
    assert [run.name for run in runs] == [str(tmp_path / 'a' / 'run'), str(tmp_path / 'b' / 'run')]


def test_a_damaged_grid_is_named(tmp_path):
    run = _write_run(tmp_path / 'run', [], [32])
    next((run / 'samples').iterdir()).write_bytes(b'no picture')
    with pytest.raises(UserError, match=r'000000032_16x16\.png cannot be read'):
        moments.draw_comparison(_read(run))


def test_curves_have_gaps_where_values_are_missing(tmp_path):
    watched = {'step': 2, 'phase': '16x16', 'images_seen': 24, 'distance': 3.0}
    lines = [_training_line(8, penalty=1.0), _training_line(16), watched, _training_line(24, penalty=2.0)]
    (run,) = _read(_write_run(tmp_path / 'run', lines))
    places, values = curves.series(run, 'penalty')
    np.testing.assert_array_equal(places, [8, 16, 24])
    np.testing.assert_array_equal(values, [1, np.nan, 2])
    np.testing.assert_array_equal(curves.series(run, 'distance'), [[24], [3]])


def test_running_means_leave_out_what_is_missing():
    values = np.asarray([1.0, 2.0, np.nan, 4.0, 8.0])
    np.testing.assert_allclose(curves.running_mean(values, 3), [1.5, 1.5, np.nan, 6, 6])


def test_moments_are_those_of_the_longest_run(tmp_path):
    short = _write_run(tmp_path / 'short', [], [20, 40])
    long = _write_run(tmp_path / 'long', [], range(16, 161, 16))
    runs = _read(short, long)
    chosen = moments.choose_moments(runs)
    assert chosen == [16, 48, 80, 128, 160]
    assert [moments.nearest_grid(runs[0], moment, chosen) for moment in chosen] == [20, 40, None, None, None]
    assert [moments.nearest_grid(runs[1], moment, chosen) for moment in chosen] == chosen


def _create_artist(num_classes: int) -> drawing.Artist:
    generator = create_networks('dcgan', num_classes=num_classes)['generator']
    variables = jax.jit(generator.init)(jax.random.key(1), jnp.zeros((1, 8)), jnp.zeros(1, jnp.int32))
    config = tiny.get_config()
    config.seed, config.conditional = 3, bool(num_classes)
    trained = TrainedGenerator(
        create_recipe(config), FACTS, generator, Weights(variables, 1.0), Position(1, 8, '8x8')
    )
    assert trained.image_format.num_classes == num_classes
    return drawing.Artist(trained)


def test_interpolation_ends_in_the_images_of_its_latents():
    artist = _create_artist(num_classes=2)
    first, last = artist.latents(2)
    path = drawing.draw_path(first, last, 9, 'normal')
    images = artist.draw(path, np.ones(9, np.int32))
    network, variables = artist.trained.network, artist.trained.weights.variables
    ends = jax.jit(network.apply)(variables, jnp.stack([first, last]), jnp.ones(2, jnp.int32))
    np.testing.assert_allclose(images[[0, -1]], ends, atol=1e-6)
    assert np.abs(images[0] - images[-1]).max() > 1e-3


def test_images_are_reduced_by_means_and_never_enlarged():
    images = _draw_noise(2)
    means = images.reshape(2, 8, 4, 8, 4, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(neighbours.reduced(images, 8), means, atol=1e-6)
    np.testing.assert_array_equal(neighbours.reduced(images, 64), images)


@pytest.mark.parametrize(
    ('shape', 'shown'), [((128, 256), (128, 128)), ((512, 1024), (128, 128)), ((100, 300), (34, 100))]
)
def test_grids_are_cut_to_their_first_images_and_reduced(tmp_path, shape, shown):
    grid = np.arange(shape[0] * shape[1] * 3).reshape(*shape, 3).astype(np.uint8)
    Image.fromarray(grid).save(tmp_path / 'grid.png')
    samples = SampleGrid(rows=2, columns=4)
    cut = figures.read_grid(tmp_path / 'grid.png', samples, rows=2, columns=2, largest=64)
    assert cut.shape == (*shown, 3)
    if shape == (128, 256):
        np.testing.assert_array_equal(cut, grid[:, :128])


def test_normal_latents_turn_and_uniform_ones_go_straight():
    first, last = np.asarray([2.0, 0.0], np.float32), np.asarray([0.0, 2.0], np.float32)
    turned = drawing.draw_path(first, last, 3, 'normal')
    np.testing.assert_allclose(turned, [[2, 0], [2**0.5, 2**0.5], [0, 2]], atol=1e-6)
    np.testing.assert_allclose(drawing.draw_path(first, last, 3, 'uniform'), [[2, 0], [1, 1], [0, 2]], atol=1e-6)
    opposite = drawing.draw_path(first, -first, 3, 'normal')
    np.testing.assert_allclose(opposite, [[2, 0], [0, 0], [-2, 0]], atol=1e-6)


def test_many_images_are_those_of_few():
    artist = _create_artist(num_classes=0)
    latents, labels = artist.latents(18), artist.labels(18)
    images = artist.draw(latents, labels)
    assert len(images) == 18
    np.testing.assert_allclose(artist.draw(latents[17:], labels[17:])[0], images[17], atol=1e-6)


def _find(generated: np.ndarray, training: np.ndarray, measure, channels: int = 1) -> neighbours.Neighbours:
    batches = (training[start : start + 16] for start in range(0, len(training), 16))
    return neighbours.find_neighbours(generated, batches, {'it': measure}, channels)['it']


def _draw_noise(count: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(count).uniform(-1, 1, (count, 32, 32, channels)).astype(np.float32)


@pytest.mark.parametrize('measure', [neighbours.by_features, neighbours.by_pixels])
def test_planted_copies_are_found(measure):
    training = _draw_noise(32)
    near = _find(training[[3, 30]], training, measure)
    np.testing.assert_array_equal(near.images[:, 0], training[[3, 30]])
    assert (near.distances[:, 0] < 1e-5).all()
    assert (near.distances[:, 1] > 1e-3).all()
    assert near.common > 1e-3  # no training image is its own neighbour


def test_mirrored_and_shifted_copies_are_found():
    training = _draw_noise(32)
    near = _find(np.roll(training[[25], :, ::-1], (1, -1), axis=(1, 2)), training, neighbours.by_pixels)
    np.testing.assert_array_equal(near.images[0, 0], training[25])
    assert near.distances[0, 0] < 1e-6 < near.distances[0, 1]


def test_masks_are_shown_but_not_compared():
    training = _draw_noise(30, channels=2)
    generated = training[[3]].copy()
    generated[..., 1] *= -1
    near = _find(generated, training, neighbours.by_pixels)
    assert near.distances[0, 0] < 1e-6
    np.testing.assert_array_equal(near.images[0, 0], training[3])


def test_the_nearest_of_all_batches_are_kept_in_order():
    training, generated = _draw_noise(30), _draw_noise(4)
    near = _find(generated, training, neighbours.by_pixels)
    inner = training[:, 1:-1, 1:-1]
    least = np.full((4, 30), np.inf)
    for side in (generated, generated[:, :, ::-1]):
        for top, left in np.ndindex(3, 3):
            moved = side[:, top : top + 30, left : left + 30]
            squares = np.square(np.float64(moved[:, None]) - inner[None]).mean(axis=(2, 3, 4))
            least = np.minimum(least, np.sqrt(squares) / 2)
    order = np.argsort(least, axis=1)[:, : neighbours.NEIGHBOURS]
    np.testing.assert_allclose(near.distances, np.take_along_axis(least, order, axis=1), rtol=1e-6)
    np.testing.assert_array_equal(near.images, training[order])


def test_fewer_training_images_than_neighbours_are_all_shown():
    near = _find(_draw_noise(2), _draw_noise(1), neighbours.by_pixels)
    assert near.images.shape == (2, 1, 32, 32, 1)
    assert np.isinf(near.common)


def test_other_data_of_the_same_name_are_not_looked_at(checkpointed):
    recipe = _read(checkpointed)[0].recipe
    with pytest.raises(input_pipeline.DataError, match='not the one that the run was trained on'):
        neighbours.read_training_images(recipe, 'another', 16)


def test_training_images_are_read_once_each_and_no_more_than_allowed(checkpointed, monkeypatch):
    (run,) = _read(checkpointed)
    count, total, batches = neighbours.read_training_images(run.recipe, run.facts.fingerprint, 16)
    images = np.concatenate(list(batches))
    assert images.shape == (38, 16, 16, 1)
    assert count == total == len(np.unique(images, axis=0))
    monkeypatch.setattr(neighbours, 'LARGEST_SEARCH', 10)
    monkeypatch.setattr(neighbours, '_LARGEST_BATCH', 4)
    count, total, batches = neighbours.read_training_images(run.recipe, run.facts.fingerprint, 16)
    some = list(batches)
    assert (count, total) == (10, 38)
    assert [len(batch) for batch in some] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(some), images[:10])
