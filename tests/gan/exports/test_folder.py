"""An exported generator as a folder: its script draws without this project, and its card tells what it is."""

import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from foundation.export.manifest import write_manifest
from foundation.training.errors import UserError
from gan.exports.card import find_release
from gan.exports.folder import write_generator
from gan.generation.card import CARD_FILE
from gan.generation.origin import find_origin
from gan.generator import TrainedGenerator, Weights
from gan.recipe import create_recipe
from gan.reporting.runs import ReportedRun
from gan.sampler import draw_images, labels_in_turn
from tests.gan.weights.generators import FACTS, create_config, draw_variables

OURS = ('backbones', 'configs', 'detect', 'enhanced_gan', 'foundation', 'gan', 'input_pipeline', 'segment')
BATCH, COUNT = 4, 6
_ALONE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({OURS!r}))  # importing them fails
sys.argv[0:1] = []
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def _load(tmp_path) -> tuple[TrainedGenerator, ReportedRun]:
    """A generator of classes, and of masks by a head of their own, while 8x8 fades in, and its run."""
    config = create_config('progressive')
    config.mask_head = True
    recipe = create_recipe(config)
    variables, position = draw_variables(recipe, '8x8')
    network = recipe.generator_at(8, recipe.image_format(len(FACTS.classes)))
    workdir = tmp_path / 'run'
    workdir.mkdir()
    run = ReportedRun('run', workdir, recipe, FACTS, recipe.stages(FACTS.num_examples), (), {})
    return TrainedGenerator(recipe, FACTS, network, Weights(variables, 0.25), position), run


@pytest.fixture
def generator(tmp_path):
    """The generator, its run, and a function that writes it to a folder."""
    trained, run = _load(tmp_path)

    def write(dtype='float32', release=None):
        folder = tmp_path / dtype
        write_generator(
            folder, trained, run, dtype=dtype, batch_size=BATCH, licence='CC-BY-4.0 [x]', release=release
        )
        return folder

    return trained, run, write


def _read(folder, ending):
    return np.stack([np.asarray(Image.open(folder / f'{number:06d}{ending}')) for number in range(COUNT)])


def _expected(trained):
    """What gan.generate would write of these images: pixels and masks."""
    labels = labels_in_turn(COUNT, 2, None)
    drawn = list(draw_images(trained, labels, seed=5, batch_size=BATCH))
    images, masks = (np.concatenate([getattr(batch, name) for batch in drawn]) for name in ('images', 'masks'))
    return input_pipeline.from_unit(images, np.uint8)[..., 0], masks[..., 0]


@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_its_script_draws_the_same_images_where_this_project_is_not(tmp_path, generator, dtype):
    trained, _, write = generator
    folder = write(dtype)
    command = [sys.executable, '-I', '-c', _ALONE, str(folder / 'sample.py'), f'--out={tmp_path}/drawn']
    done = subprocess.run(
        [*command, f'--num={COUNT}', '--seed=5'], cwd='/', capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for again in (TrainedGenerator.load(folder), *([trained] if dtype == 'float32' else [])):
        pixels, masks = _expected(again)
        assert pixels.std() > 0
        assert masks.any()
        np.testing.assert_array_equal(_read(tmp_path / 'drawn', '.png'), pixels)
        np.testing.assert_array_equal(_read(tmp_path / 'drawn', '_mask.png'), masks)
    assert 'SYNTHETIC' in Image.open(tmp_path / 'drawn' / '000000.png').text['Description']


def _run_script(monkeypatch, folder, *flags):
    monkeypatch.setattr(sys, 'argv', ['sample.py', *flags])
    runpy.run_path(str(folder / 'sample.py'), run_name='__main__')


def test_its_script_refuses_in_one_sentence(tmp_path, generator, monkeypatch):
    folder = generator[2]()
    for flags, said in [
        (['--num=0'], '--num must be at least 1'),
        ([f'--seed={2**32}'], '--seed from 0'),
        (['--label=odd'], '--label=odd is none of: healthy, lesion'),
        ([f'--out={folder}'], 'exists already; give --out a new folder'),
        (['--out=/proc/nowhere/drawn'], '/proc/nowhere/drawn cannot be written'),
    ]:
        with pytest.raises(SystemExit, match=said):
            _run_script(monkeypatch, folder, f'--out={tmp_path}/drawn', *flags)
    (folder / 'generator-cpu.stablehlo').write_bytes(b'odd')
    with pytest.raises(SystemExit, match=r'generator-cpu.stablehlo is missing or was altered'):
        _run_script(monkeypatch, folder, f'--out={tmp_path}/drawn')
    description = folder / 'generator.json'
    for content in (description.read_text().replace('"alpha": 0.', '"alpha": 1.'), '{}', 'odd', '[]'):
        assert content != description.read_text()
        description.write_text(content)
        with pytest.raises(SystemExit, match=r'generator.json is missing or was altered'):
            _run_script(monkeypatch, folder, f'--out={tmp_path}/drawn')
    description.unlink()
    with pytest.raises(SystemExit, match=r'generator.json is missing or was altered'):
        _run_script(monkeypatch, folder, f'--out={tmp_path}/drawn')
    assert not (tmp_path / 'drawn').exists()


def test_its_script_leaves_nothing_half_written(tmp_path, generator):
    written = runpy.run_path(str(generator[2]() / 'sample.py'))

    def draw(*_):
        yield np.zeros((8, 8, 1), np.uint8), np.zeros((8, 8), np.uint8)
        raise KeyboardInterrupt

    written['save'].__globals__['draw'] = draw
    described = {'weights_sha256': '', 'config': {'mask_classes': 1}}
    with pytest.raises(KeyboardInterrupt):
        written['write'](tmp_path / 'drawn', described, np.zeros(2, np.int32), 0)
    assert [path.name for path in tmp_path.iterdir() if 'drawn' in path.name or 'incomplete' in path.name] == []


def test_the_card_tells_what_it_is(generator):
    card = (generator[2]() / CARD_FILE).read_text()
    for said in (
        '# Generator of synthetic images: phantom\\_exported',
        '- Licence: CC-BY-4.0 \\[x\\]',
        '- Weights: averaged over training, float32',
        'Verdict: **not checked**',
        'The generator was not evaluated',
        'python sample.py --out=drawn',
        f'--batch_size={BATCH}',
        '- Diagnosis, treatment, or any decision about a patient.',
        'pass it on as you would pass on its training data',
    ):
        assert said in card, said
    assert '/a/folder' not in card
    assert '{' not in card


def _write_release(folder, weights):
    """What find_release reads of a folder of images."""
    folder.mkdir()
    content = {
        **{'synthetic': 'yes', 'format': 'png', 'licence': '', 'date': '', 'count': 12, 'seed': 3},
        'software': {'name': 'x', 'version': '1'},
        'command': {},
        'model': {'weights_sha256': weights, 'config_sha256': '', 'step': 1, 'images_seen': 8},
        'data': {
            **{'name': 'x', 'fingerprint': '', 'split': 'train', 'licence': ''},
            **{'images': 40, 'patients': 20, 'patients_known': True},
        },
        'release': {'verdict': 'pass', 'figures': {'withheld': 2}},
    }
    write_manifest(folder, content)


def test_the_card_has_the_verdict_on_images_of_these_weights(tmp_path, generator):
    trained, _, write = generator
    _write_release(tmp_path / 'release', trained.checksum())
    card = (write(release=tmp_path / 'release') / CARD_FILE).read_text()
    assert 'Verdict: **pass**, on 12 images of seed 3' in card
    assert '- withheld: 2' in card


def test_a_verdict_on_other_images_is_refused(tmp_path, generator):
    trained, run, write = generator
    _write_release(tmp_path / 'release', trained.checksum())
    with pytest.raises(UserError, match='drawn with other weights'):
        write('bfloat16', release=tmp_path / 'release')  # rounded: other weights, whose images nobody looked at
    assert not (tmp_path / 'bfloat16').exists()
    with pytest.raises(UserError, match=r'holds no manifest of gan.generate'):
        find_release(tmp_path / 'run', find_origin(trained, run, seed=0))
