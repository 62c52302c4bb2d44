"""The sections of a report's page, each from what runs have left so far."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import input_pipeline
from backbones.grids import save_picture
from foundation.report.figures import write_figure
from foundation.report.page import Page
from foundation.training.errors import UserError
from gan.citations import find_papers, write_bibtex
from gan.codes import draw_pairs, encode_images, summarize
from gan.embedding import draw_embedding
from gan.evaluation.sweep import FOLDER, PICTURE
from gan.generator import restore_state
from gan.reporting import neighbours, tables
from gan.reporting.curves import draw_curves
from gan.reporting.figures import LARGEST, Sheet, read_grid
from gan.reporting.grids import (
    SHOWN,
    STEPS,
    Artist,
    Artists,
    draw_comparison,
    draw_interpolation,
    draw_side_by_side,
    draw_traversals,
    restore_artists,
)
from gan.reporting.runs import ReportedRun
from gan.reporting.sheets import draw_own
from gan.sources import images_of_split
from gan.watch import SCORE

PAGE = 'index.html'
_GENERATED = 16  # images whose neighbours are shown
_CODED, _BATCH = 1_000, 64  # images whose codes are shown, and how many at a time
_BLOCKS = 2  # of rows of neighbours, side by side
_LARGEST_GRID = (6, 8)  # rows and columns of the best and the last


def write_report(runs: Sequence[ReportedRun], out: Path) -> Path:
    """Writes the page and its figures into `out` and returns the path of the page.

    Raises:
      UserError: when a picture of samples cannot be read.
    """
    title = f'Training of {runs[0].name}' if len(runs) == 1 else f'{len(runs)} runs side by side'
    report = _Report(Page(title), out)
    _summarize(report, runs)
    _compare(report, runs)
    _draw_curves(report, runs)
    if not all(run.recipe.family.translates for run in runs):
        _show_drawn(report, runs)
    _cite(report, runs)
    report.page.write(out / PAGE)
    return out / PAGE


def _show_drawn(report: '_Report', runs: Sequence[ReportedRun]) -> None:
    """What generators draw from latents."""
    artists = [restore_artists(run.workdir) for run in runs]
    _each(report, 'Best and last', runs, artists, _show_best_and_last)
    _each(report, 'Between latents', runs, artists, _show_interpolation)
    if any(run.recipe.family.encode is not None for run in runs):
        _each(report, 'Codes of real images', runs, artists, _show_codes)
    _each(report, 'Nearest training images', runs, artists, _show_neighbours)


@dataclasses.dataclass(frozen=True)
class _Report:
    page: Page
    folder: Path

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Writes a figure beside the page and into it."""
        path = self.folder / f'{name}.png'
        write_figure(figure, path)
        self.page.figure(path, caption)


Show = Callable[[_Report, ReportedRun, Artists, str], None]


def _each(
    report: _Report, title: str, runs: Sequence[ReportedRun], artists: Sequence[Artists], show: Show
) -> None:
    """A section with a part for each run; `show(report, run, artists, suffix)` fills it."""
    report.page.section(title)
    for number, (run, drawn) in enumerate(zip(runs, artists, strict=True), start=1):
        if len(runs) > 1:
            report.page.heading(run.name)
        if run.recipe.family.translates:
            report.page.note('It translates images, and draws none from latents.')
            continue
        show(report, run, drawn, f'_{number}' if len(runs) > 1 else '')


def _summarize(report: _Report, runs: Sequence[ReportedRun]) -> None:
    page, names = report.page, [run.name for run in runs]
    page.section('Summary')
    page.table(['', *names], tables.summarize(runs), 'What was trained, and how far.')
    page.paragraph(
        f'The {SCORE} is a Frechet distance to training images, in random features or in those that '
        'config.watch.extractor names: it ranks the states of one run, and runs on the same data at the same '
        'resolution; it does not compare with published scores. '
        'Time is that between the lines of the log, without pauses.'
    )
    if len(runs) == 1:
        page.table(['group', 'fields'], tables.main_fields(runs[0]), 'The main fields of the config.')
        return
    rows = tables.differing_fields(runs)
    if rows:
        page.table(['field', *names], rows, 'Fields of the configs that differ.')
    else:
        page.note('All fields of the configs are the same.')


def _cite(report: _Report, runs: Sequence[ReportedRun]) -> None:
    report.page.section('Papers')
    papers: dict[str, None] = {}
    for run in runs:
        try:
            papers |= dict.fromkeys(find_papers(run.workdir))
        except UserError as error:  # a damaged evaluation
            report.page.note(str(error))
    report.page.paragraph('What these networks, their training and their scores come from.')
    report.page.preformatted(write_bibtex(list(papers)))


def _compare(report: _Report, runs: Sequence[ReportedRun]) -> None:
    report.page.section('Samples over time')
    figure = draw_comparison(runs)
    if figure is None:
        report.page.note('No samples yet: config.run.sample_images says when the first are drawn.')
        return
    kinds = ('latents', 'source images')
    same = ' or '.join(kinds[kind] for kind in sorted({bool(run.recipe.family.translates) for run in runs}))
    report.figure(
        figure,
        'comparison',
        f'The first {SHOWN} x {SHOWN} images of each grid, of the same {same} throughout a run, and the losses '
        'against images seen (faint: as logged; strong: running means).',
    )


def _draw_curves(report: _Report, runs: Sequence[ReportedRun]) -> None:
    report.page.section('Curves')
    figure = draw_curves(runs, by_epochs=False)
    if figure is None:
        report.page.note('No metrics yet: config.run.log_images says when the first are written.')
        return
    report.figure(figure, 'curves', 'Metrics against images seen (faint: as logged; strong: running means).')
    by_epochs = draw_curves(runs, by_epochs=True)
    if by_epochs is not None and len({run.facts.num_examples for run in runs}) > 1:
        report.figure(by_epochs, 'curves_by_epochs', "The same against epochs of each run's own data.")


def _show_best_and_last(report: _Report, run: ReportedRun, artists: Artists, suffix: str) -> None:
    for reason in artists.missing:
        report.page.note(reason)
    rows, columns = (
        int(n) for n in np.minimum(_LARGEST_GRID, (run.recipe.samples.rows, run.recipe.samples.columns))
    )
    pictures = {
        _title(kind, run, artist): artist.draw_grid(rows, columns)
        for kind, artist in [('best', artists.best), ('last', artists.last)]
        if artist is not None
    }
    if not pictures:
        return
    caption = f'The same latents; {"; ".join(pictures)}.'
    if artists.best and artists.last and artists.best.position.step == artists.last.position.step:
        caption += ' The last is the best.'
    real = run.workdir / 'real.png'
    if real.is_file():
        pictures['training images'] = read_grid(
            real, run.recipe.samples, rows=rows, columns=columns, largest=LARGEST
        )
    report.figure(draw_side_by_side(pictures), f'best_and_last{suffix}', caption)


def _title(kind: str, run: ReportedRun, artist: Artist) -> str:
    measured, seen = run.scores(), artist.position.images_seen
    before = max((images for images in measured if images <= seen), default=None)
    if before is None:
        return f'{kind}: {run.moment(seen)}, {SCORE} not measured'
    at = '' if before == seen else f' at {before:,}'
    return f'{kind}: {run.moment(seen)}, {SCORE} {measured[before]:.4g}{at}'


def _show_interpolation(report: _Report, run: ReportedRun, artists: Artists, suffix: str) -> None:
    artist = artists.best or artists.last
    if artist is None:
        report.page.note('There is no checkpoint to draw from.')
        return
    distribution = artist.trained.network.latent_distribution
    way = 'a line' if distribution == 'uniform' else 'a great circle'
    report.figure(
        draw_interpolation(artist),
        f'interpolation{suffix}',
        f'{STEPS} steps along {way} between two {distribution} latents in each row, {_which(artists)}. '
        'A smooth way without jumps speaks against memorised images; it proves nothing.',
    )
    for name, figure, caption in draw_own(artist):
        report.figure(figure, f'{name}{suffix}', f'{caption} {_which(artists).capitalize()}.')
    swept = run.workdir / FOLDER / PICTURE
    if swept.is_file():
        report.page.figure(swept, 'What gan.sweep measured, with 95% intervals; sweep.json has the numbers.')
    traversals = draw_traversals(artist)
    if traversals is not None:
        caption = (
            f'In each row one code alone changes, {_which(artists)}; gan.encode finds the codes of real images.'
        )
        report.figure(traversals, f'codes{suffix}', caption)


def _show_codes(report: _Report, run: ReportedRun, artists: Artists, suffix: str) -> None:
    del artists  # of an encoder there is no running mean: the last networks belong together
    try:
        restored = restore_state(run.workdir)
        source = images_of_split(restored.recipe.open_split('test'), 'test', restored.stage.resolution)
        coded = encode_images(restored, source.evenly(_CODED), _BATCH)
    except (input_pipeline.DataError, UserError) as error:
        report.page.note(str(error))
        return
    classes = run.facts.classes if run.image_format.num_classes else ()
    rows = [[name, f'{value:.4g}'] for name, value in summarize(coded, classes).items()]
    report.page.table(['of the test split', 'value'], rows, 'From the last checkpoint.')
    figure = draw_embedding(coded.coded['codes'], coded.labels, coded.classes)
    report.figure(figure, f'embedding{suffix}', 'Codes of images of the test split, by class.')
    if coded.reconstructions is not None:
        path = report.folder / f'reconstructions{suffix}.png'
        save_picture(draw_pairs(coded.images, coded.reconstructions, coded.image_format), path)
        report.page.figure(path, 'Images of the test split, each above what is drawn from its code.')


def _which(artists: Artists) -> str:
    return 'from the best checkpoint' if artists.best else 'from the last checkpoint'


def _show_neighbours(report: _Report, run: ReportedRun, artists: Artists, suffix: str) -> None:
    artist = artists.best or artists.last
    if artist is None:
        report.page.note('There is no checkpoint to draw from.')
        return
    form = run.image_format
    drawn = artist.draw(artist.latents(_GENERATED), artist.labels(_GENERATED))
    generated = neighbours.reduced(drawn, LARGEST)
    try:
        count, total, batches = neighbours.read_training_images(
            run.recipe, run.facts.fingerprint, generated.shape[1]
        )
        measures = {'features': neighbours.by_features, 'pixels': neighbours.by_pixels}
        found = neighbours.find_neighbours(generated, batches, measures, form.channels)
    except (input_pipeline.DataError, UserError) as error:
        report.page.note(f'The training images cannot be looked at: {error}')
        return
    searched = f'all {count:,} training images'
    if count < total:
        searched = f'{count:,} training images, chosen from {total:,} by the seed of the run'
    report.figure(
        _draw_neighbours(artist, generated, found),
        f'neighbours{suffix}',
        f'{_GENERATED} images {_which(artists)}, each with the nearest of {searched}: first in random features, '
        'then in pixels. Between training images themselves, the nearest is at '
        f'{found["features"].common:.3g} in features and at {found["pixels"].common:.3g} in pixels (median). '
        f'Pixels are compared at {neighbours.PIXELS} x {neighbours.PIXELS} at most, also mirrored and shifted by '
        'one pixel of these; their distance is the root mean square difference as a share of their range.',
    )
    report.page.note(
        'This is a look, not a proof of privacy: that no copy is seen here does not make images safe to share. '
        'The page itself shows training images: treat it as you treat them.'
    )


def _draw_neighbours(
    artist: Artist, generated: neighbours.Images, found: dict[str, neighbours.Neighbours]
) -> Figure:
    rows = -(-len(generated) // _BLOCKS)
    width = 1 + len(found) * neighbours.NEIGHBOURS
    first = artist.picture(generated[:1], 1)
    sheet = Sheet(rows, _BLOCKS * (width + 1) - 1, first.shape[:2], left=4, right=4)
    for block in range(_BLOCKS):
        sheet.title_column(block * (width + 1), 'generated')
        for number, name in enumerate(found):
            sheet.title_column(block * (width + 1) + 1 + number * neighbours.NEIGHBOURS, f'nearest in {name}')
    for index, image in enumerate(generated):
        row, column = index % rows, index // rows * (width + 1)
        name = artist.class_name(int(artist.labels(len(generated))[index]))
        sheet.place(row, column, artist.picture(image[None], 1), name[:9])
        for number, near in enumerate(found.values()):
            for rank, (neighbour, distance) in enumerate(
                zip(near.images[index], near.distances[index], strict=True)
            ):
                place = column + 1 + number * neighbours.NEIGHBOURS + rank
                sheet.place(row, place, artist.picture(neighbour[None], 1), f'{distance:.3f}')
    return sheet.figure
