"""What was found of many files is told as the worst of them."""

import pytest

from foundation.signing.findings import Finding, join_findings
from foundation.signing.moment import read_moment, write_moment
from foundation.signing.packages import require_package
from foundation.training.errors import UserError

HELD, ABSENT, BROKEN = Finding('held', 'right'), Finding('absent', 'nothing'), Finding('broken', 'wrong')


def _join(*findings):
    return join_findings(((f'{number}.png', finding) for number, finding in enumerate(findings)), shown=2)


@pytest.mark.parametrize(
    ('findings', 'expected'),
    [
        ([HELD], Finding('held', '1 file: right')),
        ([HELD] * 1200, Finding('held', '1,200 files: right')),
        ([HELD, ABSENT, HELD], Finding('absent', '1 of 3 files: nothing')),
        ([ABSENT, BROKEN, HELD], Finding('broken', '1 of 3 files: wrong', ('1.png: wrong',))),
        ([BROKEN] * 3, Finding('broken', '3 files: wrong', ('0.png: wrong', '1.png: wrong'))),
        ([Finding('held', str(n)) for n in range(5)], Finding('held', '5 files: 0; 1; 2; ...')),
        (
            [Finding('unclear', 'cannot'), HELD, ABSENT],
            Finding('unclear', '1 of 3 files: cannot', ('0.png: cannot',)),
        ),
    ],
)
def test_the_worst_counts(findings, expected):
    assert _join(*findings) == expected


def test_times_are_utc_in_seconds():
    moment = read_moment('2026-11-28T12:00:01Z', '--time')
    assert moment.timestamp() == 1795867201
    assert write_moment(moment) == '2026-11-28T12:00:01Z'
    assert write_moment(read_moment('', '--time')) >= '2026-11-28'
    with pytest.raises(UserError, match='--time=yesterday is no time'):
        read_moment('yesterday', '--time')


def test_a_missing_package_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(
        UserError, match=r'Signing needs the package cryptography.*pip install "enhanced-gan\[signing\]"'
    ):
        require_package('cryptography', 'Signing')
