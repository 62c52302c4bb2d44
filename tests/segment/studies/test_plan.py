"""Which jobs a study consists of, and what each may see."""

import pytest

from configs.segment import study_brain_tumor
from foundation.training.errors import UserError
from segment.studies.design import ARMS, create_design
from segment.studies.plan import Plan, plan_cells


@pytest.fixture
def config():
    return study_brain_tumor.get_config()


@pytest.fixture
def plan(config, tmp_path):
    return Plan(create_design(config), tmp_path / 'study', tmp_path / 'data')


def _find(plan, start):
    return [job for job in plan.jobs if job.name.startswith(start)]


def test_every_job_comes_after_those_it_needs_or_these_are_jobs(plan):
    names = {job.name for job in plan.jobs}
    assert len(names) == len(plan.jobs)
    assert all(set(job.needs) <= names for job in plan.jobs)


def test_cells_cover_all_arms_seeds_and_the_curve(config, plan):
    cells = plan_cells(create_design(config))
    assert len(cells) == len(set(cells)) == len(config.seeds) * (len(config.arms) + len(config.curve))
    assert {cell.arm for cell in cells} == set(config.arms)
    assert {cell.fraction for cell in cells if cell.arm == config.reference} == {0.1, 0.25, 1.0}
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


def test_seeds_differ_in_their_seed_alone(plan):
    first, second, _ = (job.command for job in _find(plan, 'train-enhanced_0.25'))
    changed = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
    assert [flag.split('=')[0] for flag, _ in changed] == ['--workdir', '--config.seed']


def test_all_arms_train_for_as_long(config, plan):
    flags = {flag for job in _find(plan, 'train-') for flag in job.command if flag.startswith('--config.schedule')}
    assert flags == {f'--config.schedule.steps={config.segmenter.steps}'}


def test_generated_images_first_and_real_ones_then_take_as_long_as_one_training(config, tmp_path):
    with config.unlocked():
        config.arms, config.comparisons = ('real_augmented', 'enhanced_first'), ()
        config.segmenter.steps = 501
    plan = Plan(create_design(config), tmp_path / 'study', tmp_path / 'data')
    first, second = (_find(plan, f'{kind}-enhanced_first_0.25_1_seed0')[0] for kind in ('first', 'train'))
    assert '--config.schedule.steps=250' in first.command
    assert '--config.schedule.steps=251' in second.command
    (data,) = [job for job in plan.jobs if job.name == first.needs[0]]
    assert '--added_only' in data.command
    assert '--config.data.name=study_brain_0p25' in second.command
    (workdir,) = [flag.partition('=')[2] for flag in first.command if flag.startswith('--workdir=')]
    assert f'--config.start_from={workdir}' in second.command
    assert second.needs == ('data-study_brain_0p25', first.name)
    names = [job.name for job in plan.jobs]
    assert names.index(first.name) < names.index(second.name)


def test_own_images_are_an_arm_without_a_generator(config, tmp_path):
    with config.unlocked():
        config.arms, config.comparisons = ('real_augmented', 'own', 'own_only', 'own_first'), ()
    with pytest.raises(UserError, match=r"arm 'own' needs config\.generators\.own"):
        create_design(config)
    with config.unlocked():
        config.generators.own, config.generators.images = 'mine', 1
    design = create_design(config)
    design.check_generated({0.25: 500})  # nothing is drawn
    plan = Plan(design, tmp_path / 'study', tmp_path / 'data')
    assert not _find(plan, 'generator-')
    added = _find(plan, 'data-study_brain_0p25_mine')
    assert {job.name.rpartition('mine_')[2] for job in added} == {'own_1', 'own_only_1', 'own_first_1'}
    assert all('--added=mine' in job.command for job in added)
    assert plan.generators == {}


def test_stages_need_a_number_of_steps(config):
    with config.unlocked():
        config.arms, config.comparisons = ('real_augmented', 'pggan_first'), ()
        config.segmenter.steps = 0
    with pytest.raises(UserError, match=r'divides config\.segmenter\.steps'):
        create_design(config)


def test_generators_see_the_real_patients_of_their_arm_alone(plan):
    for job in _find(plan, 'generator-'):
        assert '--config.data.name=study_brain_0p25' in job.command
        assert job.needs == ('data-study_brain_0p25',)
    (derived,) = _find(plan, 'data-study_brain_0p25')[:1]
    assert '--train_fraction=0.25' in derived.command
    assert not any('added' in flag for flag in derived.command)


def test_nothing_that_draws_images_looks_at_held_out_patients(plan):
    assert all('--nogate' in job.command for job in _find(plan, 'images-'))
    assert all('--held_out=validation' in job.command for job in _find(plan, 'audit-'))


@pytest.mark.parametrize(
    ('arm', 'flags'),
    [
        ('enhanced', {'--added=study_brain_0p25_enhanced0', '--added_ratio=1.0'}),
        ('enhanced_only', {'--added_only', '--added=study_brain_0p25_enhanced0'}),
        ('shuffled', {'--shuffle_masks', '--added=study_brain_0p25_enhanced0'}),
        ('pggan', {'--added=study_brain_0p25_pggan0'}),
    ],
)
def test_arms_of_generated_images(plan, arm, flags):
    (job,) = [job for job in plan.jobs if job.name.startswith('data-') and job.name.endswith(f'_{arm}_1')]
    assert flags <= set(job.command)
    assert f'images-study_brain_0p25_{ARMS[arm].generator}0' in job.needs


def test_only_the_plain_arm_is_not_augmented(plan):
    plain = {job.name for job in _find(plan, 'train-') if '--config.augment.scale=0.0' in job.command}
    assert plain == {f'train-real_0.25_0_seed{seed}' for seed in range(3)}


def test_generators_are_taken_in_turn(config, tmp_path):
    with config.unlocked():
        config.generators.seeds = (7, 8, 9)
    plan = Plan(create_design(config), tmp_path / 'study', tmp_path / 'data')
    assert {job.name for job in _find(plan, 'generator-')} == {
        f'generator-study_brain_0p25_{name}{seed}' for name in ('pggan', 'enhanced') for seed in (7, 8, 9)
    }
    used = [job.command for job in _find(plan, 'train-enhanced_0.25_1')]
    names = [next(flag for flag in command if 'data.name' in flag) for command in used]
    assert [name.split('enhanced')[1][0] for name in names] == ['7', '8', '9']


def test_the_full_study_can_be_planned(tmp_path):
    plan = Plan(create_design(study_brain_tumor.get_config('full')), tmp_path / 'study', tmp_path / 'data')
    assert len(plan.cells) == 5 * 5 * (3 + 5 * 4)
    assert set(plan.real) == {0.05, 0.1, 0.25, 0.5, 1.0}


def test_what_needs_no_generator_comes_first(plan):
    assert {job.name for job in plan.real_jobs} == {
        'data-study_brain_all', 'data-study_brain_0p25', 'data-study_brain_0p1',
    }  # fmt: skip


def test_too_few_generated_images_are_told_before_a_generator_is_trained(config):
    create_design(config).check_generated({0.1: 200, 0.25: 600, 1.0: 2000})
    with pytest.raises(UserError, match=r'is 600, but 601 are to be added .*--config.generators.images=601'):
        create_design(config).check_generated({0.1: 200, 0.25: 601, 1.0: 2000})
    with config.unlocked():
        config.arms = ('real', 'real_augmented')
        config.comparisons = (('real_augmented', 'real'),)
    create_design(config).check_generated({0.1: 200, 0.25: 601, 1.0: 2000})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'arms': ('real', 'reel')}, "config.arms names 'reel'"),
        ({'comparisons': (('enhanced', 'real'), ('pggan', 'more'))}, "config.arms has no 'more'"),
        ({'fractions': (0.0,)}, 'holds 0.0'),
        ({'curve': (1.5,)}, 'holds 1.5'),
        ({'seeds': (1, 1)}, 'config.seeds is (1, 1)'),
        ({'seeds': (-1, 0)}, 'config.seeds is (-1, 0); none of them is negative'),
        ({'generators.seeds': ()}, 'config.generators.seeds is ()'),
        ({'generators.seeds': (7, 8)}, 'config.generators.seeds is (7, 8); give one, or one for each of 3'),
        ({'generators.images': 0}, 'config.generators.images is 0'),
        ({'comparisons': (('enhanced', 'real', 'pggan'),)}, "holds ('enhanced', 'real', 'pggan'); give pairs"),
        ({'comparisons': (('real', 'real'),)}, "holds ('real', 'real'); give pairs"),
        ({'reference': 'pggan'}, "config.reference is 'pggan'; name an arm of real images alone"),
        ({'alpha': 0.5}, 'config.alpha is 0.5'),
        ({'alpha': 1e-4}, 'config.resamples is 10000, too few for up to 6 comparisons at config.alpha=0.0001'),
        ({'block': -1}, 'config.block is -1'),
        ({'ratios': (-1.0,)}, 'config.ratios is (-1.0,)'),
        ({'ratios': (0.0,)}, 'config.ratios is (0.0,); a ratio is above 0'),
        ({'policy': 'mine'}, "config.policy is 'mine'"),
        ({'margin': 0.0}, 'config.margin is 0.0'),
        ({'generators.configs': {'pggan': 'x.py'}}, "config.generators.configs has no 'enhanced'"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(config, changes, message):
    with config.unlocked():
        for name, value in changes.items():
            holder = config
            *parents, last = name.split('.')
            for parent in parents:
                holder = holder[parent]
            holder[last] = value
    with pytest.raises(UserError) as caught:
        create_design(config)
    assert message in str(caught.value)
