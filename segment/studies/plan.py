"""From a study's config to its jobs: which data sets are derived, which networks trained, in which order.

Every job calls an ordinary command of the project and leaves a folder or a data set; the tasks know nothing of
each other. A generator is trained on the data set of its arm alone, whose training split has no test patient.
"""

import dataclasses
import itertools
import math
import sys
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

from foundation.training.errors import UserError
from foundation.training.fields import check_values, find_field
from segment.metrics.policies import POLICIES

_LOWEST = {'margin': 1e-6, 'alpha': 1e-4, 'resamples': 1000, 'block': 0, 'resolution': 0, 'generators.images': 1}
_HIGHEST = {'alpha': 0.25, 'resamples': 10**6}


def check_config(config: ConfigDict) -> None:
    """Checks all that can be checked before anything is done.

    Raises:
      UserError: for an unknown arm, one whose generator has no config, or a number that has no meaning.
    """
    for name in config.arms:
        if name not in ARMS:
            raise UserError(f'config.arms names {name!r}; choose among {", ".join(ARMS)}.')
        generator = ARMS[name].generator
        if generator and generator not in config.generators.configs:
            raise UserError(f'config.generators.configs has no {generator!r}, which the arm {name!r} needs.')
    for pair in config.comparisons:
        if len(pair) != 2 or pair[0] == pair[1]:
            raise UserError(f'config.comparisons holds {tuple(pair)}; give pairs of two arms.')
    for name in (config.reference, *itertools.chain(*config.comparisons)):
        if name not in config.arms:
            raise UserError(f'config.arms has no {name!r}, which is to be compared; add it.')
    if ARMS[config.reference].generator:
        raise UserError(f'config.reference is {config.reference!r}; name an arm of real images alone.')
    _check_numbers(config)


def _check_numbers(config: ConfigDict) -> None:
    """Raises UserError for a number that has no meaning, or does not go with another."""
    for fraction in (*config.fractions, *config.curve):
        if not 0 < fraction <= 1:
            raise UserError(f'config.fractions or config.curve holds {fraction}; give shares above 0, up to 1.')
    for name in ('seeds', 'fractions', 'ratios', 'generators.seeds'):
        values = find_field(config, name)
        if not values or len(set(values)) != len(values):
            raise UserError(f'config.{name} is {tuple(values)}; give one or more, each once.')
        if min(values) < 0:
            raise UserError(f'config.{name} is {tuple(values)}; none of them is negative.')
    if min(config.ratios) <= 0:
        raise UserError(f'config.ratios is {tuple(config.ratios)}; a ratio is above 0.')
    if config.policy not in POLICIES:
        raise UserError(f'config.policy is {config.policy!r}; choose one of {", ".join(POLICIES)}.')
    if len(config.generators.seeds) not in (1, len(config.seeds)):
        raise UserError(
            f'config.generators.seeds is {tuple(config.generators.seeds)}; give one, or one for each of '
            f'{len(config.seeds)} config.seeds: segmenters that share a generator are no independent seeds.'
        )
    check_values(config, choices={}, lowest=_LOWEST, highest=_HIGHEST)
    tests = len(config.comparisons) * len(config.fractions) * len(config.ratios)
    needed = math.ceil(max(tests + 1, 2) / config.alpha)
    if config.resamples < needed:
        raise UserError(
            f'config.resamples is {config.resamples}, too few for up to {tests} comparisons at '
            f'config.alpha={config.alpha}; make it {needed} or more.'
        )


def check_generated(config: ConfigDict, real_images: Mapping[float, int]) -> None:
    """Raises UserError when generators are to draw fewer images than the arms add, before any is trained.

    Args:
      config: of the study.
      real_images: training images at each fraction of the patients.
    """
    if not any(ARMS[name].generator for name in config.arms):
        return
    needed = max(round(max(config.ratios) * real_images[fraction]) for fraction in config.fractions)
    if config.generators.images < needed:
        raise UserError(
            f'config.generators.images is {config.generators.images}, but {needed} are to be added to the real '
            f'ones; start it again with --config.generators.images={needed}.'
        )


@dataclasses.dataclass(frozen=True)
class Arm:
    """What a segmenter is trained on.

    Attributes:
      generator: whose images are added; '' for none.
      augmented: whether images are varied in the classical way.
      added_only: no real image is in training.
      shuffled: masks of added images are dealt by chance.
      repeat: how often each real image is there.
      meaning: for the table.
    """

    generator: str = ''
    augmented: bool = True
    added_only: bool = False
    shuffled: bool = False
    repeat: int = 1
    meaning: str = ''


ARMS = {
    'real': Arm(augmented=False, meaning='real images, no augmentation'),
    'real_augmented': Arm(meaning='real images'),
    'pggan': Arm('pggan', meaning='real and images of PGGAN'),
    'enhanced': Arm('enhanced', meaning='real and images of Enhanced-GAN'),
    'pggan_only': Arm('pggan', added_only=True, meaning='images of PGGAN alone'),
    'enhanced_only': Arm('enhanced', added_only=True, meaning='images of Enhanced-GAN alone'),
    'duplicated': Arm(repeat=2, meaning='control: real images twice'),
    'shuffled': Arm('enhanced', shuffled=True, meaning='control: Enhanced-GAN with masks dealt by chance'),
}


@dataclasses.dataclass(frozen=True)
class StudyCell:
    """One segmenter to train.

    Attributes:
      arm: one of ARMS.
      fraction: of the real training patients.
      ratio: added images for each real one; 0 without.
      seed: of the segmenter.
    """

    arm: str
    fraction: float
    ratio: float
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f'{self.arm}_{self.fraction:g}_{self.ratio:g}_seed{self.seed}'


@dataclasses.dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
      name: unique in the study.
      command: a module and its flags.
      needs: names of jobs that come before.
      makes: what is there afterwards; what an interrupted job left of it and cannot go on from is removed.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...]
    makes: Path | None

    @property
    def arguments(self) -> list[str]:
        """What the system is asked to run."""
        return [sys.executable, '-m', *self.command]


def plan_cells(config: ConfigDict) -> list[StudyCell]:
    """All cells of a study, seed by seed, so that early results cover all arms."""
    cells = []
    for seed in config.seeds:
        for fraction, name in itertools.product(config.fractions, config.arms):
            ratios = config.ratios if ARMS[name].generator else (0.0,)
            cells += [StudyCell(name, fraction, ratio, seed) for ratio in ratios]
        cells += [StudyCell(config.reference, fraction, 0.0, seed) for fraction in config.curve]
    return list(dict.fromkeys(cells))


class Plan:
    """The jobs of a study.

    Attributes:
      cells: all of them.
      real: the data set of each fraction of the real patients.
      generators: their folders, by the name of the images that they draw.

    Args:
      config: of the study.
      workdir: of the study.
      data_dir: folder of all data sets.
    """

    def __init__(self, config: ConfigDict, workdir: Path, data_dir: Path) -> None:
        self._config, self._workdir, self._data_dir = config, workdir, data_dir
        self._jobs: dict[str, Job] = {}
        self.real: dict[float, str] = {}
        self.generators: dict[str, Path] = {}
        self.cells = plan_cells(config)
        for cell in self.cells:
            self._add_cell(cell)

    @property
    def jobs(self) -> list[Job]:
        """In an order in which each can be done after those before it: generators first, for they take longest."""
        kinds = ('data', 'generator', 'images', 'audit')
        rank = {name: number for number, name in enumerate(kinds)}
        return sorted(self._jobs.values(), key=lambda job: rank.get(job.name.split('-')[0], len(kinds)))

    @property
    def real_jobs(self) -> list[Job]:
        """Those that derive the data sets of real images, which need nothing else."""
        names = {f'data-{name}' for name in self.real.values()}
        needed = {before for name in names for before in self._jobs[name].needs}
        return [job for job in self.jobs if job.name in names | needed]

    def cell_folder(self, cell: StudyCell) -> Path:
        """Where a cell's segmenter and its evaluation are."""
        return self._workdir / 'cells' / cell.name

    def _add_cell(self, cell: StudyCell) -> None:
        data = self._add_cell_data(cell)
        folder, segmenter = self.cell_folder(cell), self._config.segmenter
        scale = segmenter.augmentation if ARMS[cell.arm].augmented else 0.0
        train = self._add(
            f'train-{cell.name}',
            ('segment.main', f'--config={segmenter.config}', f'--workdir={folder}', *segmenter.flags,
             f'--config.data.name={data}', f'--config.data.data_dir={self._data_dir}',
             f'--config.augment.scale={scale}', f'--config.seed={cell.seed}'),
            needs=(f'data-{data}',),
            makes=None,
        )  # fmt: skip
        self._add(
            f'evaluate-{cell.name}',
            ('segment.evaluate', f'--workdir={folder}', f'--policy={self._config.policy}', '--nodraw'),
            needs=(train,),
            makes=None,
        )

    def _add_cell_data(self, cell: StudyCell) -> str:
        """The data set of a cell, which seeds of one generator share; returns its name."""
        arm, config = ARMS[cell.arm], self._config
        real = self.real[cell.fraction] = self._add_real(cell.fraction)
        if not arm.generator and arm.repeat == 1:
            return real
        if not arm.generator:
            return self._derive(f'{real}_times{arm.repeat}', real, (f'--repeat={arm.repeat}',), ())
        seed = config.generators.seeds[config.seeds.index(cell.seed) % len(config.generators.seeds)]
        images = self._add_generator(arm.generator, real, seed)
        flags = [f'--added={images}', f'--added_ratio={cell.ratio}', f'--seed={seed}']
        flags += ['--added_only'] * arm.added_only + ['--shuffle_masks'] * arm.shuffled
        name = f'{images}_{cell.arm}_{_plain(cell.ratio)}'
        return self._derive(name, real, tuple(flags), (f'images-{images}',))

    def _add_real(self, fraction: float) -> str:
        config = self._config
        base = self._derive(
            f'{config.name}_all', config.data, (f'--resolution={config.resolution}', f'--block={config.block}'), ()
        )
        if fraction == 1.0:
            return base
        flags = (f'--train_fraction={fraction}', f'--seed={config.seed}')
        return self._derive(f'{config.name}_{_plain(fraction)}', base, flags, (f'data-{base}',))

    def _add_generator(self, generator: str, real: str, seed: int) -> str:
        """Trains a generator on the data set of real images, and draws from it; returns the images' name."""
        name, generators = f'{real}_{generator}{seed}', self._config.generators
        folder = self.generators[name] = self._workdir / 'generators' / name
        trained = self._add(
            f'generator-{name}',
            ('gan.main', f'--config={generators.configs[generator]}', f'--workdir={folder}', *generators.flags,
             f'--config.data.name={real}', f'--config.data.data_dir={self._data_dir}', f'--config.seed={seed}'),
            needs=(f'data-{real}',),
            makes=None,
        )  # fmt: skip
        # The gate measures distances to held-out patients; here nobody may see them, and nothing is released.
        self._add(
            f'images-{name}',
            ('gan.generate', f'--workdir={folder}', f'--num={generators.images}', f'--seed={seed}',
             '--format=tfds', f'--out={self._data_dir / name}', '--nogate', '--release_anyway'),
            needs=(trained,),
            makes=self._data_dir / name,
        )  # fmt: skip
        audit = ('gan.evaluate', f'--workdir={folder}', *generators.audit)
        self._add(f'audit-{name}', audit, (trained,), makes=None)
        return name

    def _derive(self, name: str, source: str, flags: tuple[str, ...], needs: tuple[str, ...]) -> str:
        command = ('input_pipeline.derive', f'--source={source}', f'--name={name}', *flags)
        before = (f'data-{source}',) if f'data-{source}' in self._jobs else ()
        needed = tuple(dict.fromkeys((*before, *needs)))
        self._add(f'data-{name}', (*command, f'--data_dir={self._data_dir}'), needed, makes=self._data_dir / name)
        return name

    def _add(self, name: str, command: tuple[str, ...], needs: tuple[str, ...], makes: Path | None) -> str:
        self._jobs[name] = Job(name, command, needs, makes)
        return name


def _plain(number: float) -> str:
    """A number as part of a data set's name."""
    return f'{number:g}'.replace('.', 'p')
