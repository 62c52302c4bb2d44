"""What the zoo shows: a table and a battle as Markdown and on a page, and grids side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backbones.grids import TITLE_HEIGHT
from benchmarks.zoo.measuring import SCORES
from benchmarks.zoo.members import MEMBERS
from foundation.files import write_file
from foundation.report.figures import write_figure
from foundation.report.page import Page
from gan.evaluation.scoring import MEANINGS
from gan.evaluation.tables import describe_value
from gan.reporting.figures import Sheet, read_grid
from gan.reporting.grids import restore_artists
from gan.scores.battles import ErrorShares, fight

Row = Mapping[str, Any]
Table = tuple[list[str], list[list[str]]]
_ROWS, _COLUMNS = 4, 6  # of a grid
_TILES = 4  # grids beside each other
_SIDE = 64  # pixels of an image, enlarged where it is smaller
_TILE = (_ROWS * _SIDE + TITLE_HEIGHT, _COLUMNS * _SIDE)
_READING = (
    'One training each, of equal time: differences are between these runs, not between methods. Brackets: 95% '
    'intervals over patients and images, which do not cover another training. Each row is of the best state by '
    'the watched distance to training images. The last row has held-out real images in place of generated ones, '
    'to be compared with the Frechet distance of as many generated ones. The Parzen log-likelihood misleads, and '
    'ranks nothing.'
)
Battle = tuple[dict[str, ErrorShares], dict[str, str]]


def write_results(out: Path, rows: Sequence[Row], battle: Battle, told: str) -> None:
    """Writes tables.md, index.html and grids.png into the folder.

    Args:
      out: that holds a workdir for each row's name.
      rows: of members, as in rows.jsonl.
      battle: see `battles.let_fight`.
      told: the command, machine and versions.
    """
    tables = {'Scores': score_table(rows), 'Battles': battle_table(battle[0]), 'Winners': winner_table(battle[0])}
    notes = [f'{MEMBERS[name].title}: {reason}.' for name, reason in battle[1].items()]
    notes += [f'{row["title"]}: {row["failed"]}' for row in rows if 'failed' in row]
    captions = {
        'Scores': _READING,
        'Battles': "Share of images that a row's discriminator gets wrong: held-out real ones, and those of each "
        'column that it takes for real.',
        'Winners': 'The generative adversarial metric (Im et al. 2016): who is fooled less, where both '
        'discriminators err alike on real images (within a tenth); otherwise none.',
    }
    _draw_grids(out, rows)
    page = Page('The zoo')
    page.paragraph(told)
    parts = [told]
    for title, (header, cells) in tables.items():
        page.section(title)
        page.table(header, cells, captions[title])
        parts += [f'## {title}\n\n{captions[title]}\n', markdown(header, cells)]
    page.section('Not in the tables')
    for note in notes:
        page.note(note)
    page.section('Samples')
    page.figure(out / 'grids.png', 'Real images, then generated ones, of the same states as the scores')
    page.write(out / 'index.html')
    parts += ['## Not in the tables\n', '\n'.join(f'- {note}' for note in notes)]
    write_file(out / 'tables.md', ('\n'.join(parts) + '\n').encode())


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def score_table(rows: Sequence[Row]) -> Table:
    """A row for each member that was measured, and real images last."""
    measured = [row for row in rows if 'failed' not in row]
    if not measured:
        return ['method'], []
    held_out = measured[0]['held out']
    header = [
        'method',
        *(f'{MEANINGS[name].title} ({MEANINGS[name].better})' for name in SCORES),
        f'Frechet distance of {held_out:,}',
        'Parzen, nats',
        'images seen',
        's per 1,000',
        'parameters',
    ]
    cells = [[row['title'], *_scores(row), *_costs(row)] for row in measured]
    first = measured[0]
    floors = {name: score['floor'] for name, score in first['scores'].items()}
    floor = [describe_value(floors[name], MEANINGS[name].digits) for name in SCORES]
    parzen = describe_value(first['parzen']['floor'], 0)
    return header, [*cells, ['real, held out', '-', *floor[1:], floor[0], parzen, '-', '-', '-']]


def _scores(row: Row) -> list[str]:
    scores = row['scores']
    fewer = describe_value(scores['frechet_distance']['at_floor_count'], MEANINGS['frechet_distance'].digits)
    values = [describe_value(scores[name], MEANINGS[name].digits) for name in SCORES]
    return [*values, fewer, describe_value(row['parzen'], 0)]


def _costs(row: Row) -> list[str]:
    sizes = ' + '.join(f'{count / 1000:,.0f}k' for count in row['parameters'].values())
    return [f'{row["images"]:,}', f'{row["s/1000 images"]:.2f}', sizes]


def battle_table(judged: Mapping[str, ErrorShares]) -> Table:
    """A row for each discriminator: its errors on real images, and on those of each generator."""
    names = list(judged)
    header = ['discriminator of', 'real images', *(MEMBERS[name].title for name in names)]
    rows = [
        [
            MEMBERS[name].title,
            f'{judged[name].real:.3f}',
            *(f'{judged[name].generated[other]:.3f}' for other in names),
        ]
        for name in names
    ]
    return header, rows


def winner_table(judged: Mapping[str, ErrorShares]) -> Table:
    """A row for each pair."""
    names, rows = list(judged), []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            fought = fight(first, second, dict(judged))
            winner = MEMBERS[fought.winner].title if fought.winner else 'none'
            pair = f'{MEMBERS[first].title}, {MEMBERS[second].title}'
            rows.append([pair, f'{fought.test_ratio:.2f}', f'{fought.sample_ratio:.2f}', winner])
    return ['pair', 'ratio of errors on real images', 'on generated ones', 'winner'], rows


def _draw_grids(out: Path, rows: Sequence[Row]) -> None:
    measured = [row for row in rows if 'failed' not in row]
    sheet = Sheet(-(-(len(measured) + 1) // _TILES), _TILES, _TILE, left=4, right=0)
    for place, row in enumerate(measured, start=1):
        artist = restore_artists(out / row['name']).best
        assert artist is not None, row['name']  # it was measured
        if place == 1:
            real = out / row['name'] / 'real.png'
            shown = read_grid(real, artist.trained.recipe.samples, rows=_ROWS, columns=_COLUMNS, largest=_SIDE)
            sheet.place(0, 0, shown, 'training images')
        images = artist.draw(artist.latents(_ROWS * _COLUMNS), artist.labels(_ROWS * _COLUMNS))
        sheet.place(*divmod(place, _TILES), artist.picture(images, _COLUMNS), row['title'])
    write_figure(sheet.figure, out / 'grids.png')
