"""Stages counted in images."""

import itertools

import pytest

from gan.schedule import create_stages, fade_in, locate

BATCHES = {f'at_{4 << power}': 16 for power in range(9)}


def _stages(**changes):
    options = {
        'initial_resolution': 4,
        'final_resolution': 16,
        'batch_size': BATCHES,
        'fade_images': 160,
        'stable_images': 320,
        'final_images': 0,
    }
    return create_stages(**options | changes)


def test_lengths_by_resolution():
    fades = {'at_4': 0, 'at_8': 16, 'at_16': 32}
    stages = _stages(fade_images=fades, stable_images={'at_4': 64, 'at_8': 32, 'at_16': 16})
    assert [(s.fade_images, s.stable_images) for s in stages] == [(0, 64), (16, 32), (32, 16)]


def test_stages_follow_each_other():
    stages = _stages()
    assert [(s.resolution, s.start, s.end) for s in stages] == [(4, 0, 320), (8, 320, 800), (16, 800, 1280)]
    assert all(a.end == b.start for a, b in itertools.pairwise(stages))


@pytest.mark.parametrize(
    ('images', 'resolution', 'alpha'),
    [(0, 4, 1.0), (319, 4, 1.0), (320, 8, 0.0), (400, 8, 0.5), (480, 8, 1.0), (800, 16, 0.0), (9999, 16, 1.0)],
)
def test_locating(images, resolution, alpha):
    stage, found = locate(_stages(), images)
    assert (stage.resolution, found) == (resolution, alpha)
    assert fade_in(stage, images) == alpha


def test_lengths_are_whole_batches():
    stages = _stages(fade_images=10, stable_images=17, final_images=1)
    assert [(s.fade_images, s.stable_images) for s in stages] == [(0, 32), (16, 32), (16, 32)]


def test_a_network_that_does_not_grow_is_one_stage():
    (stage,) = _stages(initial_resolution=64, final_resolution=64, final_images=160)
    assert (stage.resolution, stage.fade_images, stage.end, stage.name) == (64, 0, 480, '64x64')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'final_resolution': 48}, 'resolution is 48, but must be a power of two'),
        ({'final_resolution': 2048}, 'power of two from 4 to 1024'),
        ({'initial_resolution': 32}, 'initial_resolution 32 exceeds resolution 16'),
        ({'batch_size': {'at_4': 8, 'at_8': 8}}, r'batch_size\.at_16 must be at least 1'),
        ({'stable_images': {'at_4': 16}}, 'need a length at_8'),
        ({'stable_images': 0}, 'must not be negative, nor all zero'),
    ],
)
def test_what_cannot_be_scheduled_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _stages(**changes)
