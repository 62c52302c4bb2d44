"""Do generated images help? Both GANs with masks, trained equally long, then U-Nets with and without their images.

The study is that of `segment.study`, with its data sets, jobs and statistics, but for the generators, which are
trained by the clock. Several processes share the U-Nets, which are small.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

import input_pipeline
from benchmarks.accelerator import train
from benchmarks.accelerator.study_workers import Workers
from benchmarks.accelerator.tasks import Context, Row, Task
from benchmarks.accelerator.timed_training import TimedRun, train_by_the_clock
from configs.schema import run_record
from configs.segment import study_brain_tumor
from configs.segment.study_schema import COMPARISONS, STUDY
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from segment.studies.analysis import Analysis, analyse
from segment.studies.design import create_design
from segment.studies.jobs import Journal, do_jobs
from segment.studies.plan import Job, Plan, StudyCell
from segment.studies.results import Results, read_results

_NETWORKS: Mapping[str, str] = {'enhanced': 'enhanced_gan', 'pggan': 'pggan'}  # by the name that arms give them
_ARMS = ('real_augmented', 'pggan', 'enhanced', 'shuffled', 'duplicated', 'real')
_TOY_ARMS = ('real_augmented', 'pggan', 'enhanced')
_FRACTION = 0.25  # of the real patients
_GAN_SECONDS, _UNET_SECONDS = 100.0, 80.0  # that are worth beginning with
_MOST_OF_GAN, _MOST_OF_UNETS = 240.0, 230.0
_GAN_SHARE = 0.3  # of the time of this part, for each GAN
_ENDING = 15.0  # seconds that the processes of the U-Nets may take to stop
_TOY_SECONDS = 90.0


def create_tasks(rehearse: bool) -> Sequence[Task]:
    """The GANs, then the U-Nets."""
    gans = [Task(name, _GAN_SECONDS, functools.partial(_train_gan, arm)) for arm, name in _NETWORKS.items()]
    return [*gans, Task('unets', _UNET_SECONDS, _train_unets)]


def _train_gan(arm: str, context: Context) -> Iterator[Row]:
    study = _Study(context)
    failed = do_jobs(study.plan.real_jobs, study.journal)
    if failed:
        raise UserError('; '.join(f'{name}: {reason}' for name, reason in failed.items()))
    job = study.generator_job(arm)
    workdir, folder = context.scratch / 'trained' / _NETWORKS[arm], _flag(job, 'workdir')
    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    Path(folder).symlink_to(workdir, target_is_directory=True)
    own = context.out if arm == 'enhanced' else context.scratch / arm
    sizes = {size: batch for size, batch in train.BATCH_SIZES.items() if size <= study.design.resolution}
    seconds, longest = study.seconds_of_gan(arm), math.inf
    if context.rehearse:
        sizes, longest = {8: 8, 16: 8}, 0.3
    run = TimedRun(_NETWORKS[arm], _create_gan(arm, study), sizes, seconds, longest, own / train.GENERATOR)
    yield from train_by_the_clock(run, context)
    study.journal.finish(job, seconds)
    yield {'table': 'time', 'network': _NETWORKS[arm], 'seconds': seconds}


def _create_gan(arm: str, study: '_Study') -> ConfigDict:
    """The network's config on the real images of the study, with masks."""
    config = train.create_config(_NETWORKS[arm], study.context)
    config.data.name, config.data.data_dir = study.plan.real[_FRACTION], study.design.data_dir
    config.mask_classes, config.resolution = 1, study.design.resolution
    return config


def _train_unets(context: Context) -> Iterator[Row]:
    """A row for each cell as it is done, then what they say together."""
    study = _Study(context)
    missing = [arm for arm in _NETWORKS if not study.journal.is_done(study.generator_job(arm))]
    if missing:
        raise UserError(f'No generator was trained for {", ".join(missing)}.')
    open_cells = list(study.plan.cells)
    end = time.monotonic() + min(context.seconds_left(), _MOST_OF_UNETS) - _ENDING
    with Workers(study.workdir, 2 if context.rehearse else 6, context.scratch) as workers:
        while open_cells and workers.running() and time.monotonic() < end:
            time.sleep(0.5)
            for cell in [cell for cell in open_cells if study.is_done(cell)]:
                open_cells.remove(cell)
                yield _describe_cell(study, cell)
    if open_cells:
        reason = 'their time was over' if workers.in_time else workers.last_words()
        yield {'table': 'not trained', 'cells': [cell.name for cell in open_cells], 'why': reason}
    seeds = [seed for seed in study.design.seeds if not any(cell.seed == seed for cell in open_cells)]
    if seeds:
        yield from _compare(study, seeds)


def _describe_cell(study: '_Study', cell: StudyCell) -> Row:
    (values,) = study.read([cell]).groups.values()
    known = values[~(values != values)]
    return {
        'table': 'cells',
        'arm': cell.arm,
        'seed': cell.seed,
        'Dice': float(known.mean()) if known.size else None,
        'test patients': int(known.size),
    }


def _compare(study: '_Study', seeds: Sequence[int]) -> Iterator[Row]:
    """The statistics of the study, over the seeds that all arms have."""
    results = study.read([cell for cell in study.plan.cells if cell.seed in seeds])
    counts = {fraction: study.count(name) for fraction, name in study.plan.real.items()}
    design = dataclasses.replace(study.design, seeds=tuple(seeds))
    analysis: Analysis = analyse(design, results, counts)
    for group, mean in analysis.means.items():
        yield {
            'table': 'arms',
            'arm': group.arm,
            'meaning': group.meaning,
            'Dice': mean.estimate,
            'seeds': mean.seeds,
        }
    for one in analysis.compared:
        yield {
            'table': 'differences',
            'first': one.first.arm,
            'second': one.second.arm,
            'difference in Dice': one.difference.estimate,
            'p after Holm': one.adjusted_p,
            'verdict': one.verdict.answer,
            'in words': one.sentence,
        }


class _Study:
    """The plan of the study and its folders, which are the same for all its tasks."""

    def __init__(self, context: Context) -> None:
        self.context, self.workdir = context, context.scratch / 'study'
        config = _create_study(context, _find_data(context))
        if not workdirs.has_begun(self.workdir):
            workdirs.prepare_workdir(self.workdir, run_record(STUDY, config).config, fixed=(), write=True)
        self.design = create_design(workdirs.read_config(self.workdir))
        self.plan = Plan(self.design, self.workdir, Path(self.design.data_dir))
        self.journal = Journal(self.workdir / 'jobs')

    def generator_job(self, arm: str) -> Job:
        """The job that trains the generator of an arm."""
        (job,) = (j for j in self.plan.jobs if j.name == f'generator-{self.plan.real[_FRACTION]}_{arm}0')
        return job

    def seconds_of_gan(self, arm: str) -> float:
        """The same for both."""
        if self.context.rehearse:
            return _TOY_SECONDS
        if arm == 'enhanced':
            return min(_GAN_SHARE * self.context.seconds_left(), _MOST_OF_GAN)
        return max(row['seconds'] for row in self.context.rows(part='study', table='time'))

    def is_done(self, cell: StudyCell) -> bool:
        """Whether it was trained and measured."""
        (job,) = (job for job in self.plan.jobs if job.name == f'evaluate-{cell.name}')
        return self.journal.is_done(job)

    def read(self, cells: Sequence[StudyCell]) -> Results:
        """Dice of cells that are done."""
        return read_results(cells, [self.plan.cell_folder(cell) for cell in cells], self.design.policy)

    def count(self, name: str) -> int:
        """Training images of a data set."""
        return input_pipeline.count_images(name, Path(self.design.data_dir), 'train')


def _find_data(context: Context) -> tuple[str, Path]:
    """The data set under a folder of our own, where those that are derived of it may be written, too."""
    folder = context.scratch / 'sets'
    folder.mkdir(parents=True, exist_ok=True)
    if not context.data:
        side, count = (16, 320) if context.rehearse else (128, 1200)
        options = input_pipeline.PhantomOptions(
            count=count, size=side, modalities=('MR',), seed=0, images_per_patient=2
        )
        input_pipeline.ensure_prepared('phantom_study', folder, options)
        return 'phantom_study', folder
    source = input_pipeline.find_data_dir(context.data_dir)
    if not (folder / context.data).exists():
        (folder / context.data).symlink_to(source.expanduser().absolute() / context.data, target_is_directory=True)
    return context.data, folder


def _create_study(context: Context, data: tuple[str, Path]) -> ConfigDict:
    config = study_brain_tumor.get_config()
    name, folder = data
    images = input_pipeline.count_images(name, folder, 'train')
    config.update(
        name='study_timed', data=name, data_dir=str(folder), block=0 if name == 'phantom_study' else 16,
        resolution=128, arms=_ARMS, comparisons=COMPARISONS, curve=(), fractions=(_FRACTION,), seeds=(0, 1, 2),
    )  # fmt: skip
    config.generators.images = math.ceil(1.3 * _FRACTION * images) + 16
    steps = 400
    extra: tuple[str, ...] = ()
    if context.rehearse:
        steps, extra = (
            4,
            ('--config.network.width=4', '--config.network.depth=2', '--config.network.deep_supervision=False'),
        )
        pairs = tuple(pair for pair in COMPARISONS if set(pair) <= set(_TOY_ARMS))
        config.update(resolution=16, arms=_TOY_ARMS, comparisons=pairs, seeds=(0,))
    side = config.resolution
    config.segmenter.flags = (
        f'--config.watch.steps={steps // 4}', f'--config.resolution={side}',
        f'--config.patch={side}', '--config.run.sample_images=1000000', '--config.run.checkpoint_images=1000000',
        *extra,
    )  # fmt: skip
    config.segmenter.steps = steps
    return config


def _flag(job: Job, name: str) -> str:
    return next(flag.split('=', 1)[1] for flag in job.command if flag.startswith(f'--{name}='))
