"""What steps take: kept, read again, and added up to the time that is left."""

import dataclasses
import json

import pytest

from foundation.training import speed
from tests.foundation.training import toy

COMMAND = 'configs/gan/small.py'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, 'CACHE', tmp_path)
    return tmp_path


def _phases(costs=(1.0, 3.0)):
    """Phases of 10 steps of 4 images each."""
    first = toy.create_phases(toy.mesh())[0]
    return [
        dataclasses.replace(first, name=f'phase {n}', start=40 * n, end=40 * n + 40, batch_size=4, cost=cost)
        for n, cost in enumerate(costs)
    ]


def test_time_left_is_that_of_measured_steps_and_of_others_by_their_cost():
    phases = _phases()
    forecast = speed.Forecast(phases)
    assert forecast.seconds_left(0) is None
    forecast.add(10, 4.0)
    forecast.settle(phases[0], 1.0)  # 10 steps in 5 s
    assert forecast.seconds_left(0) == pytest.approx(10 * 0.5 + 10 * 1.5)
    assert forecast.seconds_left(20) == pytest.approx(5 * 0.5 + 10 * 1.5)
    forecast.add(10, 20.0)
    forecast.settle(phases[1], 0.0)  # slower than its cost tells
    assert forecast.seconds_left(60) == pytest.approx(5 * 2.0)
    assert forecast.seconds_left(80) == 0


def test_few_steps_tell_nothing():
    phases = _phases()
    forecast = speed.Forecast(phases)
    forecast.add(9, 4.0)
    forecast.settle(phases[0], 0.0)
    assert forecast.seconds_left(0) is None


def test_a_slow_moment_does_not_count():
    phases = _phases((1.0,))
    forecast = speed.Forecast(phases)
    for seconds in (2.0, 90.0, 2.0):
        forecast.add(10, seconds)
        forecast.settle(phases[0], 0.0)
    assert forecast.seconds_left(0) == pytest.approx(10 * 0.2)


def test_another_run_of_the_same_command_begins_with_what_was_measured():
    phases = _phases((1.0,))
    with speed.measuring(COMMAND):
        forecast = speed.Forecast(phases)
        forecast.add(10, 5.0)
        forecast.settle(phases[0], 0.0)
        forecast.keep()
        assert speed.Forecast(phases).seconds_left(0) == pytest.approx(5.0)
    assert speed.Forecast(phases).seconds_left(0) is None  # of no command
    with speed.measuring('configs/gan/pggan.py'):
        assert speed.Forecast(phases).seconds_left(0) is None


def test_without_a_command_nothing_is_kept(cache):
    phases = _phases((1.0,))
    forecast = speed.Forecast(phases)
    forecast.add(10, 5.0)
    forecast.settle(phases[0], 0.0)
    forecast.keep()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    'content', ['', '[]', '{"a": 1}', '{"a": {"b": {"c": {"seconds": "x"}}}}', '{"a": {"b": 1}}']
)
def test_a_damaged_file_is_no_measurement_and_is_replaced(cache, content):
    (cache / 'speeds.json').write_text(content)
    assert speed.read_speeds(COMMAND) == {}
    speed.write_speeds(COMMAND, {'4 x 8 x 8': 0.5})
    assert speed.read_speeds(COMMAND) == {'4 x 8 x 8': 0.5}


def test_the_file_names_device_command_and_step(cache):
    speed.write_speeds(COMMAND, {'4 x 8 x 8': 0.5})
    speed.write_speeds(COMMAND, {'4 x 4 x 4': 0.25})
    content = json.loads((cache / 'speeds.json').read_text())
    assert {step: entry['seconds'] for step, entry in content[speed.name_device()][COMMAND].items()} == {
        '4 x 8 x 8': 0.5,
        '4 x 4 x 4': 0.25,
    }


def test_a_command_is_its_config_and_what_steps_feel():
    changes = {'data.name': 'chest', 'resolution': 64, 'schedule.final_images': 8, 'generator.fmap_max': 16}
    name = speed.name_command('/somewhere/configs/gan/small.py', changes)
    assert name == 'configs/gan/small.py generator.fmap_max=16 resolution=64'
    assert speed.name_command('configs/segment/unet.py:small', {}) == 'configs/segment/unet.py:small'
    assert speed.name_command('mine.py', {}) == 'mine.py'


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (0.2, '1 s'),
        (89, '89 s'),
        (120, '2 minutes'),
        (150, '2.5 minutes'),
        (3000, '50 minutes'),
        (9000, '2.5 hours'),
        (100_000, '28 hours'),
        (300_000, '3 days'),
    ],
)
def test_times_are_said_as_people_say_them(seconds, text):
    assert speed.describe_time(seconds) == text
