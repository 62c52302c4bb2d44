"""Schedules by the clock, against hand-computed ones."""

import math

import pytest

from benchmarks.accelerator import timetable
from benchmarks.accelerator.timetable import fill_speeds, find_speeds, plan_stages
from configs.gan import enhanced_gan
from gan.recipe import create_recipe


def test_each_stage_gets_its_share_of_the_time():
    speeds = {16: 8000.0, 32: 4000.0, 64: 1000.0}
    stages = plan_stages(speeds, {16: 128, 32: 128, 64: 64}, 219.0, steps_per_call=32, grown=False)
    assert [stage.resolution for stage in stages] == [16, 32, 64]
    # 0.49, 0.7 and 1 of 2.19 parts of 85% of the time
    assert [stage.seconds for stage in stages] == pytest.approx([0.85 * 49, 0.85 * 70, 0.85 * 100])
    images = [stage.fade_images + stage.stable_images for stage in stages]
    assert images[0] == pytest.approx(0.85 * 49 * 8000, abs=128 * 32 / 2)
    assert images[1] == pytest.approx(0.85 * 70 * 4000, abs=128 * 32 / 2)
    assert images[2] == pytest.approx(3 * 0.85 * 100 * 1000, abs=3 * 64 * 32 / 2)  # the time limit ends it
    assert stages[0].fade_images == 0
    assert stages[2].fade_images == pytest.approx(0.4 * images[2] / 3, rel=0.05)


def test_stages_are_whole_calls_and_never_empty():
    sizes = {16: 128, 32: 64}
    for stage in plan_stages({16: 1.0, 32: 1.0}, sizes, 1.0, steps_per_call=32, grown=False):
        call = 32 * sizes[stage.resolution]
        assert stage.fade_images % call == stage.stable_images % call == 0
        assert stage.stable_images >= call


def test_a_schedule_becomes_that_of_the_config():
    config = enhanced_gan.get_config()
    sizes = {64: 64, 128: 32, 256: 16}
    planned = plan_stages({64: 3000.0, 128: 1500.0, 256: 700.0}, sizes, 100.0, steps_per_call=32, grown=False)
    timetable.apply(config, planned)
    stages = create_recipe(config).stages(num_examples=1)
    assert [(s.resolution, s.batch_size, s.fade_images, s.stable_images) for s in stages] == [
        (p.resolution, p.batch_size, p.fade_images, p.stable_images) for p in planned
    ]


def test_unknown_speeds_lie_between_the_known():
    filled = fill_speeds({16: 8000.0, 256: 500.0}, (16, 32, 64, 128, 256))
    assert filled == pytest.approx({16: 8000, 32: 4000, 64: 2000, 128: 1000, 256: 500})


def test_one_known_speed_gives_all():
    filled = fill_speeds({32: 1000.0}, (16, 32, 64))
    assert filled == pytest.approx({16: 1000 * 2**1.2, 32: 1000, 64: 1000 / 2**1.2})
    assert math.isclose(filled[16] / filled[64], 4**1.2)


def test_speeds_are_found_among_other_rows():
    rows = [
        {'network': 'pggan', 'pixels': 256, 'images/s': 300.0},
        {'network': 'enhanced_gan', 'pixels': 256, 'images/s': 500.0},
        {'network': 'enhanced_gan', 'score': 'recall'},
    ]
    assert find_speeds(rows, 'enhanced_gan') == {256: 500.0}
    assert find_speeds([], 'enhanced_gan') == {}


def test_what_is_left_fades_in_from_what_was_trained():
    first, last = plan_stages({64: 1000.0, 128: 500.0}, {64: 64, 128: 32}, 100.0, steps_per_call=32, grown=True)
    assert first.fade_images > 0
    assert last.fade_images > 0
