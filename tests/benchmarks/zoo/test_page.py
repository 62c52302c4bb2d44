"""Tables of the zoo from rows: scores beside their floor, battles, and what has none."""

from benchmarks.zoo import page
from gan.scores.battles import ErrorShares


def _score(value, floor=0.5):
    def interval(value):
        return {'value': value, 'interval': [value - 0.25, value + 0.25]}

    return {**interval(value), 'floor': interval(floor), 'at_floor_count': interval(value + 1)}


def _row(name, **more):
    row = {
        'name': name,
        'title': name.upper(),
        'parameters': {'generator': 1000, 'discriminator': 20_000},
        'images': 40_000,
        's/1000 images': 3.0,
        'held out': 619,
        'scores': {score: _score(1.0) for score in page.SCORES},
        'parzen': _score(-200.0),
    }
    return row | more


def test_a_row_shows_scores_and_costs_and_the_last_one_real_images():
    header, rows = page.score_table([_row('dcgan'), _row('wgan'), {'name': 'pggan', 'failed': 'why'}])
    assert [row[0] for row in rows] == ['DCGAN', 'WGAN', 'real, held out']
    first, real = (dict(zip(header, row, strict=True)) for row in (rows[0], rows[-1]))
    assert first['recall (higher)'] == '1.000 [0.750, 1.250]'
    assert first['Frechet distance of 619'] == '2.000 [1.750, 2.250]'
    assert (first['images seen'], first['s per 1,000'], first['parameters']) == ('40,000', '3.00', '1k + 20k')
    assert real['Frechet distance (lower)'] == real['images seen'] == '-'
    assert real['Frechet distance of 619'] == '0.500 [0.250, 0.750]'


def test_where_nothing_was_measured_there_is_no_row():
    assert page.score_table([{'name': 'pggan', 'failed': 'why'}])[1] == []


def test_a_battle_shows_errors_and_winners():
    judged = {
        'dcgan': ErrorShares(0.2, {'dcgan': 0.5, 'lsgan': 0.1}),
        'lsgan': ErrorShares(0.2, {'dcgan': 0.3, 'lsgan': 0.4}),
    }
    header, rows = page.battle_table(judged)
    assert header == ['discriminator of', 'real images', 'DCGAN', 'LSGAN']
    assert rows == [['DCGAN', '0.200', '0.500', '0.100'], ['LSGAN', '0.200', '0.300', '0.400']]
    assert page.winner_table(judged)[1] == [['DCGAN, LSGAN', '1.00', '0.33', 'DCGAN']]


def test_markdown_has_a_line_for_each_row():
    assert page.markdown(['a', 'b'], [['1', '2']]) == '| a | b |\n| --- | --- |\n| 1 | 2 |\n'
