"""What a report reads of a run without touching its networks or its data."""

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backbones.images import DataFacts, read_facts
from foundation.training.errors import UserError
from foundation.training.logs import read_metrics
from gan.generator import read_recipe
from gan.recipe import GanRecipe, ImageFormat
from gan.schedule import Stage
from gan.watch import SCORE
from gan.weights import is_exported, read_description

_GRID = re.compile(r'(\d{9,})_\w+\.png')
_STARTED = re.compile(r' INFO (\d+ x .+ process\(es\), JAX .+)')
Line = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ReportedRun:
    """A run as its workdir tells it.

    Attributes:
      name: how the report calls it.
      workdir, recipe, facts, stages: of the run.
      lines: of metrics.jsonl that count images, in their order.
      grids: pictures of samples, by the images seen.
    """

    name: str
    workdir: Path
    recipe: GanRecipe
    facts: DataFacts
    stages: tuple[Stage, ...]
    lines: tuple[Line, ...]
    grids: dict[int, Path]

    @property
    def image_format(self) -> ImageFormat:
        """The channels and classes of its images."""
        return self.recipe.image_format(len(self.facts.classes))

    @property
    def images_seen(self) -> int:
        """Images seen when the last line was written; 0 before."""
        return max((line['images_seen'] for line in self.lines), default=0)

    @property
    def images_planned(self) -> int:
        """Images seen when all is done."""
        return self.stages[-1].end

    def epochs(self, images: float) -> float:
        """How often so many images are all training images."""
        return images / self.facts.num_examples

    def moment(self, images: int) -> str:
        """So many images, for people."""
        return f'{images:,} images, {self.epochs(images):.3g} epochs'

    def scores(self) -> dict[int, float]:
        """The watched distance, by images seen."""
        found = {line['images_seen']: line[SCORE] for line in self.lines if SCORE in line}
        return {images: score for images, score in found.items() if math.isfinite(score)}

    def collapses(self) -> list[int]:
        """Images seen where the watch saw a collapse."""
        return [line['images_seen'] for line in self.lines if line.get('collapsed')]

    def seconds(self) -> float:
        """Time from the first to the last line, without pauses, from the images a second in between."""
        total, before = 0.0, 0
        for line in self.lines:
            rate = line.get('images_per_second', 0)
            if rate > 0:
                total += (line['images_seen'] - before) / rate
                before = line['images_seen']
        return total

    def machine(self) -> str:
        """Devices, versions and revision of its last start, from log.txt; '' where that does not tell."""
        path, found = self.workdir / 'log.txt', ''
        if path.is_file():
            with path.open(errors='replace') as file:
                for line in file:
                    match = _STARTED.search(line)
                    found = match.group(1) if match else found
        return found


def read_runs(workdirs: Sequence[Path]) -> list[ReportedRun]:
    """Reads runs and names them by their folders, in full where two would be called alike.

    Of an exported generator, the run it comes from is known by its config and data alone.

    Raises:
      UserError: when a folder is missing, holds no run or a damaged one, or is given twice.
    """
    for number, workdir in enumerate(workdirs):
        if not workdir.is_dir():
            raise UserError(f'{workdir} is no folder; give the --workdir of a run.')
        if workdir.resolve() in [other.resolve() for other in workdirs[:number]]:
            raise UserError(f'{workdir} is given twice; name each run once.')
    names = [workdir.resolve().name for workdir in workdirs]
    if len(set(names)) < len(names):
        names = [str(workdir) for workdir in workdirs]
    return [_read_run(name, workdir) for name, workdir in zip(names, workdirs, strict=True)]


def _read_run(name: str, workdir: Path) -> ReportedRun:
    if is_exported(workdir):
        described = read_description(workdir)
        stages = described.recipe.stages(described.facts.num_examples)
        return ReportedRun(name, workdir, described.recipe, described.facts, stages, lines=(), grids={})
    recipe, facts = read_recipe(workdir), read_facts(workdir)
    return ReportedRun(
        name=name,
        workdir=workdir,
        recipe=recipe,
        facts=facts,
        stages=recipe.stages(facts.num_examples),
        lines=tuple(line for line in read_metrics(workdir) if 'images_seen' in line),
        grids=_find_grids(workdir / 'samples'),
    )


def _find_grids(folder: Path) -> dict[int, Path]:
    grids = {}
    for path in sorted(folder.glob('*.png')):
        match = _GRID.fullmatch(path.name)
        if match:
            grids[int(match.group(1))] = path
    return grids
