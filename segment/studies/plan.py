"""From a study's design to its jobs: which data sets are derived, which networks trained, in which order.

Every job calls an ordinary command of the project and leaves a folder or a data set; the tasks know nothing of
each other. A generator is trained on the data set of its arm alone, whose training split has no test patient.
"""

import dataclasses
import itertools
import sys
from pathlib import Path

from segment.studies.design import ARMS, OWN, StudyDesign


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


def plan_cells(design: StudyDesign) -> list[StudyCell]:
    """All cells of a study, seed by seed, so that early results cover all arms."""
    cells = []
    for seed in design.seeds:
        for fraction, name in itertools.product(design.fractions, design.arms):
            ratios = design.ratios if ARMS[name].generator else (0.0,)
            cells += [StudyCell(name, fraction, ratio, seed) for ratio in ratios]
        cells += [StudyCell(design.reference, fraction, 0.0, seed) for fraction in design.curve]
    return list(dict.fromkeys(cells))


class Plan:
    """The jobs of a study.

    Attributes:
      cells: all of them.
      real: the data set of each fraction of the real patients.
      generators: their folders, by the name of the images that they draw.

    Args:
      design: of the study.
      workdir: of the study.
      data_dir: folder of all data sets.
    """

    def __init__(self, design: StudyDesign, workdir: Path, data_dir: Path) -> None:
        self._design, self._workdir, self._data_dir = design, workdir, data_dir
        self._jobs: dict[str, Job] = {}
        self.real: dict[float, str] = {}
        self.generators: dict[str, Path] = {}
        self.cells = plan_cells(design)
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

    def first_folder(self, cell: StudyCell) -> Path:
        """Where the segmenter of a cell's first stage is, where it has two."""
        return self._workdir / 'first' / cell.name

    def _add_cell(self, cell: StudyCell) -> None:
        data, steps = self._add_cell_data(cell), self._design.segmenter.steps
        folder = self.cell_folder(cell)
        if ARMS[cell.arm].then_real:
            first = self.first_folder(cell)
            before = self._add_training(f'first-{cell.name}', cell, data, first, steps // 2, ())
            flags = (f'--config.start_from={first}',)
            real = self.real[cell.fraction]
            train = self._add_training(f'train-{cell.name}', cell, real, folder, steps - steps // 2, flags, before)
        else:
            train = self._add_training(f'train-{cell.name}', cell, data, folder, steps, ())
        self._add(
            f'evaluate-{cell.name}',
            ('segment.evaluate', f'--workdir={folder}', f'--policy={self._design.policy}', '--nodraw'),
            needs=(train,),
            makes=None,
        )

    def _add_training(
        self, name: str, cell: StudyCell, data: str, folder: Path, steps: int, flags: tuple[str, ...], *needs: str
    ) -> str:
        segmenter = self._design.segmenter
        scale = segmenter.augmentation if ARMS[cell.arm].augmented else 0.0
        length = (f'--config.schedule.steps={steps}',) if steps else ()
        return self._add(
            name,
            ('segment.main', f'--config={segmenter.config}', f'--workdir={folder}', *segmenter.flags, *length,
             f'--config.data.name={data}', f'--config.data.data_dir={self._data_dir}',
             f'--config.augment.scale={scale}', f'--config.seed={cell.seed}', *flags),
            needs=(f'data-{data}', *needs),
            makes=None,
        )  # fmt: skip

    def _add_cell_data(self, cell: StudyCell) -> str:
        """The data set of a cell, which seeds of one generator share; returns its name."""
        arm, design = ARMS[cell.arm], self._design
        real = self.real[cell.fraction] = self._add_real(cell.fraction)
        if not arm.generator and arm.repeat == 1:
            return real
        if not arm.generator:
            return self._derive(f'{real}_times{arm.repeat}', real, (f'--repeat={arm.repeat}',), ())
        seed = design.generators.seeds[design.seeds.index(cell.seed) % len(design.generators.seeds)]
        is_own = arm.generator == OWN
        images = design.generators.own if is_own else self._add_generator(arm.generator, real, seed)
        flags = [f'--added={images}', f'--added_ratio={cell.ratio}', f'--seed={seed}']
        flags += ['--added_only'] * (arm.added_only or arm.then_real) + ['--shuffle_masks'] * arm.shuffled
        base = f'{real}_{images}' if is_own else images  # which begins with the name of `real`
        name = f'{base}_{cell.arm}_{_plain(cell.ratio)}'
        needs = () if is_own else (f'images-{images}',)
        return self._derive(name, real, tuple(flags), needs)

    def _add_real(self, fraction: float) -> str:
        design = self._design
        base = self._derive(
            f'{design.name}_all', design.data, (f'--resolution={design.resolution}', f'--block={design.block}'), ()
        )
        if fraction == 1.0:
            return base
        flags = (f'--train_fraction={fraction}', f'--seed={design.seed}')
        return self._derive(f'{design.name}_{_plain(fraction)}', base, flags, (f'data-{base}',))

    def _add_generator(self, generator: str, real: str, seed: int) -> str:
        """Trains a generator on the data set of real images, and draws from it; returns the images' name."""
        name, generators = f'{real}_{generator}{seed}', self._design.generators
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
