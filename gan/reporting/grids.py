"""Grids of a report: samples over time, and pictures drawn anew from the generators of runs."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure

from backbones.grids import draw_grid, title_classes
from foundation.training import parallel
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from gan.generator import TrainedGenerator
from gan.latents import interpolate
from gan.networks import Generator
from gan.recipe import ImageFormat
from gan.reporting.curves import plot_losses
from gan.reporting.figures import LARGEST, Sheet, read_grid, shrink
from gan.reporting.runs import ReportedRun
from gan.sampler import Sampler, labels_in_turn

SHOWN = 4  # rows and columns of a grid
_MOMENTS = 5
_IMAGE = 64  # pixels a side
_NAMES, _LOSSES = 130, 420  # pixels for names and for losses


def choose_moments(runs: Sequence[ReportedRun]) -> list[int]:
    """Images seen at the first, at the last, and at grids of the longest run evenly in between."""
    longest = max(runs, key=lambda run: max(run.grids, default=0))
    places = np.asarray(sorted(longest.grids))
    wanted = np.linspace(places[0], places[-1], _MOMENTS)
    return sorted({int(places[np.abs(places - moment).argmin()]) for moment in wanted})


def nearest_grid(run: ReportedRun, moment: int, moments: Sequence[int]) -> int | None:
    """Images seen at the grid of a run that is nearest to a moment; None where another moment is nearer."""
    nearest = min(run.grids, key=lambda images: abs(images - moment), default=None)
    if nearest is None or min(moments, key=lambda other: abs(other - nearest)) != moment:
        return None
    return nearest


def draw_comparison(runs: Sequence[ReportedRun]) -> Figure | None:
    """Grids at the same moments, and the losses beside them; None where no run has grids."""
    if not any(run.grids for run in runs):
        return None
    moments = choose_moments(runs)
    chosen = [[nearest_grid(run, moment, moments) for moment in moments] for run in runs]
    cells = [
        [None if images is None else _read_cell(run, images) for images in row]
        for run, row in zip(runs, chosen, strict=True)
    ]
    drawn = [cell for row in cells for cell in row if cell is not None]
    tile = max(len(cell) for cell in drawn), max(cell.shape[1] for cell in drawn)
    sheet = Sheet(len(runs), len(moments), tile, left=_NAMES, right=_LOSSES)
    axes = None
    for row, run in enumerate(runs):
        sheet.title_row(row, run.name)
        for column, (cell, images) in enumerate(zip(cells[row], chosen[row], strict=True)):
            if cell is None or images is None:
                sheet.write_in(row, column, 'no grid at this moment')
            else:
                sheet.place(row, column, cell, run.moment(images))
        axes = sheet.axes(row, sharex=axes, sharey=axes)
        plot_losses(axes, run)
        if row == 0:
            axes.set_title('losses by images seen', loc='left', fontsize=8)
            axes.legend(fontsize=7, loc='upper right')
    return sheet.figure


def _read_cell(run: ReportedRun, images: int) -> UInt8[np.ndarray, 'height width 3']:
    return read_grid(run.grids[images], run.recipe.samples, rows=SHOWN, columns=SHOWN, largest=_IMAGE)


ROWS, STEPS = 5, 9  # of an interpolation
TRAVERSED = 4  # latents whose codes are changed
_BATCH_SIZE = 16
_LEFT, _TITLE_WIDTH = 110, 330  # pixels for titles of rows and of columns


@dataclasses.dataclass(frozen=True)
class Artist:
    """A run's generator from one of its checkpoints; the seed of the run draws the latents of its grids."""

    trained: TrainedGenerator

    @property
    def position(self) -> Position:
        """Of the checkpoint."""
        return self.trained.position

    def latents(self, count: int) -> Float[np.ndarray, 'count latent']:
        """The latents of the run's grids."""
        return self._sampler.latents(self.trained.recipe.seed, count)

    def labels(self, count: int) -> Int[np.ndarray, 'count']:
        """All classes in turn."""
        return labels_in_turn(count, self.trained.image_format.num_classes, None)

    def draw(
        self, latents: Float[np.ndarray, 'count latent'], labels: Int[np.ndarray, 'count']
    ) -> Float[np.ndarray, 'count height width channel']:
        """An image for each latent vector, in [-1, 1]."""
        return np.clip(self._sampler.draw(self.trained.weights, latents, labels), -1, 1)

    def picture(
        self, images: Float[np.ndarray, 'count height width channel'], columns: int
    ) -> UInt8[np.ndarray, 'rows_height columns_width 3']:
        """The images in a grid, masks over them, each at most so large."""
        form = self.trained.image_format
        grid = draw_grid(images, columns, form.channels, form.mask_classes)
        return shrink(grid, max(images.shape[1] // LARGEST, 1))

    def draw_grid(self, rows: int, columns: int) -> UInt8[np.ndarray, 'rows_height columns_width 3']:
        """The first images of the run's grids."""
        count = rows * columns
        grid = self.picture(self.draw(self.latents(count), self.labels(count)), columns)
        classes = self.trained.facts.classes if self.trained.image_format.num_classes else ()
        return title_classes(grid, classes, columns)

    def class_name(self, label: int) -> str:
        """Of a label; '' without condition."""
        return self.trained.facts.classes[label] if self.trained.image_format.num_classes else ''

    @property
    def _sampler(self) -> Sampler:
        return _create_sampler(self.trained.network, self.trained.image_format)


@dataclasses.dataclass(frozen=True)
class Artists:
    """The generators of a run.

    Attributes:
      last, best: from the newest and from the best checkpoint; None where there is none.
      missing: why, for each that is None.
    """

    last: Artist | None
    best: Artist | None
    missing: tuple[str, ...]


def restore_artists(workdir: Path) -> Artists:
    """Restores what the workdir holds."""
    found: list[Artist | None] = []
    missing = []
    for best in (False, True):
        try:
            found.append(Artist(TrainedGenerator.load(workdir, best=best)))
        except UserError as error:
            found.append(None)
            missing.append(str(error))
    return Artists(found[0], found[1], tuple(missing))


@functools.cache
def _create_sampler(network: Generator, image_format: ImageFormat) -> Sampler:
    """Compiled once for both checkpoints."""
    return Sampler(network, image_format, parallel.create_mesh(), _BATCH_SIZE)


def draw_path(
    first: Float[np.ndarray, ' latent'], last: Float[np.ndarray, ' latent'], steps: int, distribution: str
) -> Float[np.ndarray, 'steps latent']:
    """Latents from `first` to `last`, both included; see `interpolate`."""
    start, end = (jnp.tile(jnp.asarray(own, jnp.float32), (steps, 1)) for own in (first, last))
    return np.asarray(interpolate(start, end, jnp.linspace(0, 1, steps), distribution))


def draw_interpolation(artist: Artist) -> Figure:
    """Rows of images between two latents each; classes in turn."""
    distribution = artist.trained.network.latent_distribution
    ends, labels = artist.latents(2 * ROWS), artist.labels(ROWS)
    paths = [draw_path(ends[2 * row], ends[2 * row + 1], STEPS, distribution) for row in range(ROWS)]
    images = artist.draw(np.concatenate(paths), np.repeat(labels, STEPS))
    strips = [artist.picture(images[row * STEPS : (row + 1) * STEPS], STEPS) for row in range(ROWS)]
    sheet = Sheet(ROWS, 1, strips[0].shape[:2], left=_LEFT, right=0)
    for row, strip in enumerate(strips):
        sheet.title_row(row, artist.class_name(int(labels[row])) or f'pair {row + 1}')
        sheet.place(row, 0, strip, '')
    return sheet.figure


def draw_traversals(artist: Artist) -> Figure | None:
    """Rows of images in which one code alone changes; None where the latents of its family have no parts."""
    traverse = artist.trained.recipe.family.traverse
    if traverse is None:
        return None
    rows = traverse(artist.trained.network, artist.latents(TRAVERSED))
    strips = {
        title: artist.picture(artist.draw(row, artist.labels(len(row))), len(row)) for title, row in rows.items()
    }
    tile = max(len(strip) for strip in strips.values()), max(strip.shape[1] for strip in strips.values())
    sheet = Sheet(len(strips), 1, tile, left=_LEFT, right=0)
    for row, (title, strip) in enumerate(strips.items()):
        sheet.title_row(row, title)
        sheet.place(row, 0, strip, '')
    return sheet.figure


def draw_side_by_side(pictures: dict[str, UInt8[np.ndarray, '_ _ 3']]) -> Figure:
    """Pictures beside each other, their titles above them."""
    height = max(len(picture) for picture in pictures.values())
    width = max(_TITLE_WIDTH, *(picture.shape[1] for picture in pictures.values()))
    sheet = Sheet(1, len(pictures), (height, width), left=4, right=0)
    for column, (title, picture) in enumerate(pictures.items()):
        sheet.title_column(column, title)
        sheet.place(0, column, picture, '')
    return sheet.figure
