"""Networks of several runs as one: averaged probabilities, one checksum, and refusals."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

from foundation.training.errors import UserError
from input_pipeline import Case
from segment import ensemble
from segment.ensemble import SegmenterEnsemble
from segment.parts import PartsChoice, describe_parts, read_parts, write_parts
from segment.segmenter import TrainedSegmenter

CASE = object.__new__(Case)  # no member looks at it


class _Member(TrainedSegmenter):
    """Says what it was told to say."""

    classes, channels, checksum = ('liver',), 1, 'ab' * 32

    def __init__(self, slices, note=''):
        self.__dict__.update(slices=slices, note=note)

    def probabilities(self, case):
        yield from self.slices

    def note_on(self, case):
        return self.note


def _member(seed, classes=('liver',), channels=1, note=''):
    values = np.random.default_rng(seed).random((2, 6, 5, 1)).astype(np.float32)
    slices = np.concatenate([values, 1 - values], axis=-1)
    kind = type('_Member', (_Member,), {'classes': classes, 'channels': channels, 'checksum': f'{seed:02d}' * 32})
    return kind(slices, note)


def test_probabilities_are_averaged_before_a_class_is_chosen():
    members = tuple(map(_member, range(3)))
    found = SegmenterEnsemble(members).segment(CASE)
    mean = np.mean([member.slices for member in members], axis=0)
    np.testing.assert_array_equal(found.ids, mean.argmax(axis=-1))
    np.testing.assert_allclose(found.doubt / 255, 1 - mean.max(axis=-1), atol=0.5 / 255 + 1e-6)
    votes = sum(member.slices.argmax(axis=-1) for member in members) > 1
    assert (found.ids != votes).any()


def test_members_that_disagree_leave_doubt_where_each_was_sure():
    sure = np.zeros((1, 1, 2, 2), np.float32)
    sure[..., 0] = 1
    other = sure.copy()
    other[0, 0, 1] = 0, 1
    members = tuple(_Member(own) for own in (sure, other))
    assert SegmenterEnsemble(members[:1]).segment(CASE).doubt.tolist() == [[[0, 0]]]
    assert SegmenterEnsemble(members).segment(CASE).doubt.tolist() == [[[0, 128]]]


def test_classes_keep_their_largest_part_where_all_runs_chose_so(monkeypatch, tmp_path):
    member = _member(0, classes=('liver', 'tumour'))
    monkeypatch.setattr(ensemble, 'TrainedSegmenter', SimpleNamespace(load=lambda *given, **named: member))
    for name, chosen in (('a', (True, True)), ('b', (False, True)), ('old', ())):
        (tmp_path / name).mkdir()
        if chosen:
            for_each = zip(member.classes, chosen, strict=True)
            choices = [PartsChoice(own, 3, 0.5, 0.2 * won, 0.05) for own, won in for_each]
            write_parts(tmp_path / name, choices)

    def ids(*names, all_parts=False):
        workdirs = [tmp_path / name for name in names]
        return SegmenterEnsemble.load(workdirs, None, best=True, mirror=False, all_parts=all_parts).largest_alone

    assert ids('a') == (1, 2)
    assert ids('b') == ids('a', 'b') == (2,)
    assert ids('old') == ids('a', 'old') == ids('a', all_parts=True) == ()


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ('{}', 'is damaged'),
        ('{"classes": null}', 'is damaged'),
        ('{"classes": [{}]}', 'is damaged'),
        (
            '{"classes": [{"class_name": "liver", "largest_alone": "no"}]}',
            'does not say yes or no',
        ),
        (
            '{"classes": [{"class_name": "spleen", "largest_alone": true}]}',
            'does not say yes or no',
        ),
        ('{"classes": []}', 'does not say yes or no'),
    ],
)
def test_a_choice_of_parts_that_is_damaged_or_of_other_classes_is_refused(tmp_path, content, expected):
    (tmp_path / 'parts.json').write_text(content)
    with pytest.raises(UserError, match=rf'parts\.json {expected}'):
        read_parts(tmp_path, ('liver',))


def test_classes_of_which_parts_are_taken_away_are_named():
    members = (_member(0, classes=('liver', 'tumour')),)
    assert describe_parts(SegmenterEnsemble(members).one_part_classes) == []
    (line,) = describe_parts(SegmenterEnsemble(members, (2,)).one_part_classes)
    assert line.startswith('Of tumour the largest part alone is kept')


def test_one_network_keeps_its_checksum_and_several_have_one_of_all():
    first, second = map(_member, (1, 2))
    assert SegmenterEnsemble((first,)).checksum == first.checksum
    both = SegmenterEnsemble((first, second)).checksum
    assert both == hashlib.sha256(f'{first.checksum}\n{second.checksum}'.encode()).hexdigest()
    assert both != SegmenterEnsemble((second, first)).checksum


def test_notes_are_told_once():
    members = (_member(0, note='Its own window.'), _member(1), _member(2, note='Its own window.'))
    assert SegmenterEnsemble(members).note_on(CASE) == 'Its own window.'


@pytest.mark.parametrize(
    ('others', 'step', 'expected'),
    [
        (
            [_member(1, classes=('tumour',))],
            None,
            'run1 segments tumour in images of 1 channels, and',
        ),
        ([_member(1, channels=3)], None, 'run1 segments liver in images of 3 channels'),
        ([_member(1)], 7, '--step names a checkpoint of one run'),
    ],
)
def test_what_does_not_go_together_is_refused(monkeypatch, tmp_path, others, step, expected):
    members = dict(enumerate([_member(0), *others]))
    monkeypatch.setattr(
        ensemble,
        'TrainedSegmenter',
        SimpleNamespace(load=lambda workdir, step, *, best, mirror: members[int(workdir.name[-1])]),
    )
    workdirs = [tmp_path / f'run{number}' for number in members]
    with pytest.raises(UserError, match=expected):
        SegmenterEnsemble.load(workdirs, step, best=True, mirror=False, all_parts=True)


def test_a_run_counts_once(tmp_path):
    with pytest.raises(UserError, match='names a run twice'):
        SegmenterEnsemble.load(
            [tmp_path / 'a', tmp_path / 'b' / '..' / 'a'], None, best=True, mirror=False, all_parts=True
        )
