"""A whole study on small drawn images: the plan's own data sets, real training, real measuring, real statistics.

The commands run in this process, to spare their starts. A generator is planted: images that were drawn afresh, as
a perfect generator would draw them.
"""

import ast
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from configs.schema import run_record
from configs.segment import study_brain_tumor, unet
from configs.segment.study_schema import STUDY
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from input_pipeline import DataError, derive
from segment import study
from segment.data import open_images
from segment.ensemble import SegmenterEnsemble
from segment.evaluation import SegmenterProtocol, evaluate
from segment.studies import jobs
from segment.train import train_and_evaluate
from tests.input_pipeline.items import make_item, write

SIDE = 16


def _draw(generator):
    """Bright discs are foreground, bright squares are not; both in noise."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image, mask = generator.normal(90, 15, (SIDE, SIDE)), np.zeros((SIDE, SIDE), np.uint8)
    for is_disc in (True, False):
        row, column = generator.uniform(3, SIDE - 4, 2)
        radius, brightness = generator.uniform(2, 3.5), generator.uniform(60, 110)
        apart = (
            np.hypot(rows - row, columns - column)
            if is_disc
            else np.maximum(abs(rows - row), abs(columns - column))
        )
        image[apart <= radius] += brightness
        mask[apart <= radius] = is_disc
    return np.clip(image, 0, 255).astype(np.uint8)[..., None], mask[..., None]


def _write_blobs(data_dir, name, counts):
    generator, items = np.random.default_rng(len(name)), []
    for split, count in counts.items():
        for number in range(count):
            image, mask = _draw(generator)
            key = f'{name}_{split}_{number:03d}'
            items.append(
                make_item(key, [image], split=split, masks=[mask], intensity=(0.0, 255.0), window=(0.0, 255.0))
            )
    write(items, data_dir, name)


def _read_config(command):
    config = unet.get_config(_flag(command, 'config').partition(':')[2])
    for flag in command:
        name, _, text = flag.removeprefix('--config.').partition('=')
        if flag.startswith('--config.'):
            old = config.to_dict()
            for part in name.split('.'):
                old = old[part]
            config.update_from_flattened_dict(
                {name: text if isinstance(old, str) else type(old)(ast.literal_eval(text))}
            )
    return config


def _flag(command, name):
    return next(flag.split('=', 1)[1] for flag in command if flag.startswith(f'--{name}='))


@pytest.fixture
def in_process(monkeypatch, tmp_path):
    """Does jobs in this process; returns the commands it was asked for."""
    done = []

    def run(job, log):
        done.append(job.name)
        module, *command = job.command
        if module == 'input_pipeline.derive':
            return '' if derive.main(command) == 0 else 'it failed'
        if module == 'segment.main':
            train_and_evaluate(_read_config(command), Path(_flag(command, 'workdir')))
        elif module == 'segment.evaluate':
            workdir = Path(_flag(command, 'workdir'))
            segmenter = SegmenterEnsemble.load([workdir], None, best=True, mirror=False, all_parts=True)
            images = open_images(segmenter.first.recipe, 'test', train=False)
            protocol = SegmenterProtocol('test', _flag(command, 'policy'), 2.0, False, 0.95, 0)
            evaluate(segmenter, images, protocol, workdir / 'evaluation', draw=False)
        elif module == 'gan.generate':  # in place of a trained generator: images drawn afresh
            _write_blobs(tmp_path / 'data', 'planted', {'train': 160})
            shutil.move(tmp_path / 'data' / 'planted', _flag(command, 'out'))
        return ''

    monkeypatch.setattr(jobs, '_run', run)
    monkeypatch.setattr(study, 'read_audits', lambda folders: [])  # nothing was trained that could be audited
    return done


@pytest.fixture
def config(tmp_path):
    config = study_brain_tumor.get_config()
    config.update(
        name='small', data='blobs', data_dir=str(tmp_path / 'data'), block=0, resolution=0, curve=(),
        arms=('real_augmented', 'enhanced', 'shuffled'), fractions=(0.1,), ratios=(40.0,), seeds=(0, 1, 2, 3, 4),
        resamples=2000,
        comparisons=(('enhanced', 'real_augmented'), ('shuffled', 'real_augmented'), ('enhanced', 'shuffled')),
    )  # fmt: skip
    config.generators.images = 160
    config.segmenter.flags = (
        '--config.resolution=16', '--config.patch=16', '--config.network.depth=2', '--config.network.width=8',
        '--config.schedule.batch_size=16', '--config.watch.steps=45',
        '--config.network.deep_supervision=False', '--config.run.sample_images=100000',
    )  # fmt: skip
    config.segmenter.augmentation, config.segmenter.steps = 0.0, 90
    _write_blobs(tmp_path / 'data', 'blobs', {'train': 40, 'validation': 12, 'test': 24})
    return config


def test_too_few_images_can_be_put_right_in_the_same_workdir(config, tmp_path, in_process):
    config.generators.images = 159
    with pytest.raises(UserError, match='but 160 are to be added'):
        study.run_study(config, tmp_path / 'study')
    assert {name.split('-')[0] for name in in_process} == {'data'}
    config.generators.images = 160
    record = run_record(STUDY, config)
    workdirs.prepare_workdir(tmp_path / 'study', record.config, fixed=record.fixed, write=False)
    config.generators.flags = ('--config.resolution=8',)
    record = run_record(STUDY, config)
    with pytest.raises(UserError, match=r'holds a run with generators\.flags='):
        workdirs.prepare_workdir(tmp_path / 'study', record.config, fixed=record.fixed, write=False)


@pytest.mark.parametrize(('field', 'name'), [('data', 'blops'), ('generators.own', 'hers')])
def test_a_data_set_that_is_not_there_is_told_before_anything_is_written(config, tmp_path, field, name):
    with config.unlocked():
        config.update_from_flattened_dict({field: name})
    with pytest.raises(DataError, match=name):
        study.run_study(config, tmp_path / 'study')
    assert not (tmp_path / 'study').exists()


@pytest.mark.slow
def test_a_planted_uplift_is_found_and_shuffled_masks_bring_none(config, tmp_path, in_process, capsys):
    workdir = tmp_path / 'study'
    study.run_study(config, workdir)
    printed = capsys.readouterr().out
    content = json.loads((workdir / 'study.json').read_text())
    answers = {(row['first']['arm'], row['second']['arm']): row['verdict'] for row in content['differences']}
    assert answers['enhanced', 'real_augmented'] == 'better', printed
    assert answers['enhanced', 'shuffled'] == 'better', printed
    assert answers['shuffled', 'real_augmented'] in ('worse', 'undecided'), printed
    assert 'The claim that images of one training of enhanced help is stated.' in printed
    assert content['patients'] == 24
    before = list(in_process)
    study.run_study(config, workdir)  # all is done: nothing is done again, and it says the same
    assert in_process == before
