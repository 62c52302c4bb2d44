"""The plan: balanced and random orders, and what happens to one that was altered."""

import json
import stat

import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.reading import plan as plans
from gan.reading.plan import CASES_FILE, LINKS_FILE, PLAN_FILE, TRUTH_FILE, draw_order, read_study
from input_pipeline.errors import DataError
from tests.gan.reading.made import make_study


def test_every_case_comes_once_and_repeated_ones_again_much_later():
    generated = np.arange(60) % 2 == 0
    for seed in range(20):
        order = draw_order(generated, 12, np.random.default_rng(seed))
        cases, first, counts = np.unique(order, return_index=True, return_counts=True)
        assert len(order) == 72
        assert cases.tolist() == list(range(60))
        again = cases[counts == 2]
        assert (len(again), generated[again].sum()) == (12, 6)
        for case in again:
            begin, end = np.flatnonzero(order == case)
            assert len(set(order[begin + 1 : end].tolist())) >= 15
        assert np.corrcoef(first, generated)[0, 1] < 0.5


def test_no_place_in_the_order_tells_what_is_there():
    """Over many seeds, half of what comes first, and last, is generated."""
    generated = np.arange(20) < 10
    orders = np.array([draw_order(generated, 2, np.random.default_rng(seed)) for seed in range(2000)])
    assert np.abs(generated[orders].mean(axis=0) - 0.5).max() < 0.05


def test_the_same_seed_gives_the_same_study_but_other_links(tmp_path):
    one, same, other = (make_study(tmp_path / name, seed=seed) for name, seed in (('a', 1), ('b', 1), ('c', 2)))
    assert one.plan == same.plan
    assert one.plan.orders != other.plan.orders
    assert one.plan.orders[0] != one.plan.orders[1]
    assert not set(one.links) & set(same.links)
    for name in (LINKS_FILE, TRUTH_FILE):
        assert stat.S_IMODE((tmp_path / 'a' / name).stat().st_mode) == 0o600


def test_cases_lie_in_an_order_that_tells_nothing(tmp_path):
    study = make_study(tmp_path / 'study', cases=40)
    generated = np.array([case.generated for case in study.truth])
    assert generated.sum() == 20
    assert 3 <= generated[:20].sum() <= 17
    assert ((study.images.mean(axis=(1, 2, 3)) > 2000) == generated).all()


@pytest.mark.parametrize('name', [PLAN_FILE, TRUTH_FILE, CASES_FILE, LINKS_FILE])
def test_what_was_altered_is_not_read(tmp_path, name):
    folder = make_study(tmp_path / 'study').folder
    content = (folder / name).read_bytes()
    altered = {
        PLAN_FILE: lambda: json.dumps({**json.loads(content), 'margin': 0.3}).encode(),
        TRUTH_FILE: lambda: content.replace(b'true', b'false', 1),
        CASES_FILE: lambda: content[:-1] + b'\x01',
        LINKS_FILE: lambda: json.dumps({'links': ['a', 'b']}).encode(),
    }
    (folder / name).write_bytes(altered[name]())
    with pytest.raises(UserError, match=f'{name} .*restore it'):
        read_study(folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        read_study(folder)


def test_a_study_does_not_replace_anything(tmp_path):
    folder = make_study(tmp_path / 'study').folder
    with pytest.raises(DataError, match='exists already'):
        make_study(folder)
    assert not list(tmp_path.glob('incomplete.*'))


def test_repeats_are_chosen_and_checked():
    assert [plans.choose_repeats(cases, None) for cases in (4, 40, 216)] == [0, 4, 20]
    assert plans.choose_repeats(8, 4) == 4
    for wanted in (3, 6):
        with pytest.raises(UserError, match=f'--repeats={wanted} of 8 cases; give an even number, at most 4'):
            plans.choose_repeats(8, wanted)


def test_a_plan_is_not_changed(tmp_path):
    plan = make_study(tmp_path / 'study').plan
    plans.check_same(tmp_path, plan, {'cases': 8, 'margin': 0.1, 'workdir': 'runs/x'})
    with pytest.raises(UserError, match=r'--margin=0\.1, not 0\.2, and a plan is not changed'):
        plans.check_same(tmp_path, plan, {'cases': 8, 'margin': 0.2})
    with pytest.raises(UserError, match='--split=test, not validation'):
        plans.check_same(tmp_path, plan, {'split': 'validation'})
