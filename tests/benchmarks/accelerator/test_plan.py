"""The minutes are shared as promised, and a rehearsal has every part."""

import pytest

from benchmarks.accelerator import plan


def _limits(names: list[str], seconds: float) -> dict[str, float]:
    """Seconds of each part, when each takes all it may."""
    parts, now, taken = [plan.PROFILES['proof'][name] for name in names], 0.0, {}
    for number, name in enumerate(names):
        end = plan.limit(parts[number:], now, seconds, seconds)
        taken[name], now = end - now, end
    return taken


def test_training_keeps_its_seconds_and_the_others_share_the_rest():
    taken = _limits(list(plan.PROFILES['proof']), 480)
    assert taken['train'] == pytest.approx(160)
    assert sum(taken.values()) == pytest.approx(480)
    assert taken['compiling'] == pytest.approx(320 * 85 / 320)
    assert taken['correct'] == pytest.approx(320 * 60 / 320)


def test_time_that_a_part_leaves_goes_to_the_later_ones():
    parts = list(plan.PROFILES['proof'].values())
    assert plan.limit(parts[-2:], 100.0, 480.0, 480.0) == 320.0
    assert plan.limit(parts[-1:], 200.0, 480.0, 480.0) == 480.0
    # One that took more than its share leaves less, but training keeps its own.
    assert plan.limit(parts[-2:], 330.0, 480.0, 480.0) == 330.0


def test_short_runs_keep_half_for_training():
    assert _limits(list(plan.PROFILES['proof']), 100)['train'] == pytest.approx(50)


def test_training_alone_has_everything():
    assert _limits(['train'], 240) == {'train': 240}


def test_flags_for_fast_compiling_are_for_gpus_and_not_for_the_comparison_with_defaults():
    deterministic = plan.environment_of('deterministic', with_gpu=False)
    assert deterministic == {'+XLA_FLAGS': '--xla_gpu_deterministic_ops=true'}
    for name in plan.PROCESSES:
        assert plan.FAST_COMPILING not in str(plan.environment_of(name, with_gpu=False))
        assert (plan.FAST_COMPILING in str(plan.environment_of(name, with_gpu=True))) == (name != 'defaults')


def test_parts_without_training_share_everything():
    assert sum(_limits(['machine', 'speed'], 60).values()) == pytest.approx(60)


@pytest.mark.parametrize('profile', plan.PROFILES)
def test_every_part_has_tasks_of_its_own_names_rehearsed_or_not(profile):
    for part in plan.PROFILES[profile].values():
        for rehearse in (True, False):
            names = [task.name for task in part.create_tasks(rehearse)]
            assert names
            assert len(set(names)) == len(names)
