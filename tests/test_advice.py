"""What `prepare` advises: the commands exist, take their flags, and make the steps that the table counts."""

import importlib
import itertools
import shlex
from typing import Any

import pytest
from ml_collections import ConfigDict

from configs.detect.schema import DETECTOR
from configs.gan.schema import GAN
from configs.schema import check
from configs.segment.schema import UNET
from foundation.training import speed
from gan.recipe import create_recipe
from input_pipeline import advice
from input_pipeline.dataset.content import Content

SCHEMAS = {'gan.main': GAN, 'segment.main': UNET, 'detect.main': DETECTOR}
PLANS: list[tuple[Any, dict[str, int]]] = [(advice.QUICKSTART, {}), (advice.SMALL, {})]
PLANS += [(plan, {'resolution': side}) for side, plan in advice.FULL.items()]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, 'CACHE', tmp_path)


def _load(path: str) -> ConfigDict:
    file, _, variant = path.partition(':')
    module = importlib.import_module(file.removesuffix('.py').replace('/', '.'))
    return module.get_config(*filter(None, [variant]))


def _content(**changes) -> Content:
    return Content(
        **{
            'channels': 1,
            'classes': (),
            'unlabelled': False,
            'mask_classes': 0,
            'side': 64,
            'phantom': {},
            **changes,
        }
    )


def _commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line.startswith('  python -m ')]


def _configured(command: list[str]) -> ConfigDict:
    """The config of a printed command, as its flags change it."""
    flags = dict(word.removeprefix('--').split('=', 1) for word in command[3:])
    config = _load(flags.pop('config')).unlock()
    assert flags.pop('workdir').startswith('runs/')
    for name, value in flags.items():
        *sections, last = name.removeprefix('config.').split('.')
        place = config
        for section in sections:
            place = place[section]
        assert last in place
        place[last] = value if isinstance(place[last], str) else type(place[last])(eval(value))
    check(SCHEMAS[command[2]], config, left_open=True)
    return config


@pytest.mark.parametrize(('plan', 'changes'), PLANS)
def test_the_table_counts_the_steps_of_the_config(plan, changes):
    config = _load(plan.config)
    config.update(changes)
    stages = create_recipe(config).stages(1)
    assert plan.steps == {
        (stage.batch_size, stage.resolution): (stage.end - stage.start) // stage.batch_size for stage in stages
    }


def test_the_table_counts_the_steps_of_the_small_unet():
    config = _load(advice.UNET[True].config)
    assert advice.UNET[True].steps == {(config.schedule.batch_size, config.patch): config.schedule.steps}


@pytest.mark.parametrize(
    ('cpu', 'side', 'masks', 'classes'),
    list(itertools.product((True, False), (28, 64, 100, 512), (0, 2, 200), ((), ('a',), ('a', 'b')))),
)
def test_commands_take_their_flags_and_use_what_the_data_have(cpu, side, masks, classes, monkeypatch):
    monkeypatch.setattr(advice, 'on_cpu', lambda: cpu)
    content = _content(side=side, mask_classes=masks, classes=classes)
    commands = _commands(advice.advise('chest', None, content))
    looks = cpu and side > 32
    expected = ['gan.main'] * (3 if looks else 2) + ['segment.main'] * bool(masks)
    assert [command[2] for command in commands] == expected
    config = _configured(commands[0])
    assert config.conditional == (len(classes) > 1)
    assert config.mask_classes == (masks if masks <= 8 else 0)
    assert config.data.name == 'chest'
    largest = 64 if cpu else 256
    assert config.resolution == min({28: 32, 64: 64, 100: 128, 512: 512}[side], largest)
    if looks:
        look = _configured(commands[2])
        assert (look.data.name, look.resolution) == ('chest', 32)
        assert (look.conditional, look.mask_classes) == (config.conditional, config.mask_classes)
    short = _configured(commands[1])
    assert short.schedule.final_images == 0
    assert {**config.to_dict(), 'schedule': 0} == {**short.to_dict(), 'schedule': 0}


def test_some_images_without_a_class_are_trained_on_without_condition():
    content = _content(classes=('a', 'b'), unlabelled=True)
    assert not _configured(_commands(advice.advise('chest', None, content))[0]).conditional


def test_the_folder_of_data_sets_is_named_where_it_is_not_the_usual(tmp_path):
    config = _configured(_commands(advice.advise('chest', tmp_path / 'my data', _content()))[0])
    assert config.data.data_dir == str(tmp_path / 'my data')


@pytest.mark.parametrize(
    ('cpu', 'side', 'expected'),
    [
        (True, 64, 64),
        (True, 32, 32),
        (True, 512, 64),
        (True, 96, 48),
        (True, 63, 63),
        (False, 256, 256),
        (False, 32, 32),
        (False, 512, 256),
    ],
)
def test_the_detector_fits_the_machine_and_enlarges_no_image(cpu, side, expected, monkeypatch):
    monkeypatch.setattr(advice, 'on_cpu', lambda: cpu)
    (command,) = _commands(advice.advise_detector('mixed', None, side))
    assert _configured(command).resolution == expected
    assert any('resolution' in word for word in command) == (expected != (64 if cpu else 256))


def test_images_of_their_own_pixels_are_seen_in_patches():
    (command,) = _commands(advice.advise_detector('mixed', None, None))
    assert _configured(command).data.patches > 0


def test_times_are_those_that_were_measured_and_ranges_elsewhere():
    assert '45 minutes to 3 hours, not measured here yet' in advice.advise('chest', None, _content())
    # 625 + 1250 + 1250 + 1250 steps of at most 0.2 s, and 5,000 of 0.2 s.
    speed.write_speeds('configs/gan/small.py', {'8 x 64 x 64': 0.2, '16 x 4 x 4': 0.04})
    text = advice.advise('chest', None, _content(classes=('a', 'b')))
    assert '30 minutes, as measured on this machine' in text  # (25 + 3,750 * 0.2 + 1,000) s = 29.6 minutes
    assert 'runs/chest_speed' not in text


def test_what_was_measured_of_another_config_says_nothing():
    speed.write_speeds('configs/gan/small.py generator.fmap_max=8', {'8 x 64 x 64': 0.2})
    assert 'not measured here yet' in advice.advise('chest', None, _content())


def test_phantoms_are_asked_for_as_they_were_drawn():
    """Else the config draws others, and a set of that name is refused."""
    drawn = {'count': 30, 'size': 16, 'modalities': ['CT', 'MR'], 'seed': 4, 'images_per_patient': 2}
    content = _content(side=16, mask_classes=1, phantom=drawn)
    commands = _commands(advice.advise('phantom_own', None, content))
    assert [command[2] for command in commands] == ['gan.main', 'gan.main', 'segment.main']
    for command in commands:
        assert _configured(command).data.phantom.to_dict() == drawn | {'modalities': ('CT', 'MR')}
    assert 'data.phantom' not in advice.advise('own', None, content)
