"""Readers survive damaged files; the same number gives the same file; what is wrong with a reader is found."""

import os
import time

import numpy as np
import pytest

from input_pipeline.errors import Refusals
from tests.fuzz import mutations, seeds, watch
from tests.fuzz.targets import TARGETS, Case, Target

COUNT = int(os.environ.get('DAMAGED_FILES', '500'))  # of each kind


@pytest.mark.slow
@pytest.mark.parametrize('name', TARGETS)
def test_readers_survive_damaged_files(name):
    seconds = 30
    outcomes = list(watch.watch(TARGETS[name], range(COUNT), seconds, mebibytes=2048))
    assert len(outcomes) == COUNT
    assert [(number, outcome) for number, outcome in outcomes if not outcome.is_caught] == []
    kinds = [outcome.kind for _, outcome in outcomes]
    assert min(kinds.count('read'), kinds.count('refused')) > COUNT / 100


@pytest.mark.parametrize('name', TARGETS)
def test_whole_files_are_read(name, tmp_path):
    target = TARGETS[name]
    if name == 'index':
        seeds.write_pairs(tmp_path)
    for ending, content in target.create_seeds():
        path = tmp_path / (ending if name == 'index' else f'file{ending}')
        path.write_bytes(content)
        refusals = Refusals(skip=True)
        target.read(path, refusals)
        assert not refusals.reasons, ending
        path.unlink()


def test_the_same_number_gives_the_same_file(tmp_path):
    one, other = Case(TARGETS['dicom'], tmp_path), Case(TARGETS['dicom'], tmp_path)
    contents = [one.create(number).read_bytes() for number in range(40)]
    assert contents == [other.create(number).read_bytes() for number in range(40)]
    assert len(set(contents)) > 35


def test_repaired_pictures_have_right_checksums():
    _, content = seeds.png()[0]
    assert mutations.repair_png(bytearray(content), np.random.default_rng(0)) == content
    damaged = bytearray(content)
    damaged[20] ^= 1  # of the width
    mended = mutations.repair_png(damaged, np.random.default_rng(0))
    assert mended[20] == damaged[20]
    assert mended[29:33] != content[29:33]


_held: list[np.ndarray] = []


def die(path, refusals):
    os._exit(3)


def sleep(path, refusals):
    time.sleep(60)


def grow(path, refusals):
    _held.append(np.ones(2**29, np.uint8))


def fail(path, refusals):
    raise TypeError('of a decoder')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('read', 'kind'), [(die, 'process ended'), (sleep, 'too slow'), (grow, 'too large'), (fail, 'TypeError')]
)
def test_what_a_reader_may_not_do_is_found(read, kind, monkeypatch):
    if read is sleep:
        monkeypatch.setattr(watch, '_START', 2)
    found = list(watch.watch(Target('png', seeds.png, read), range(1), seconds=0.1, mebibytes=100))
    assert [(number, outcome.kind) for number, outcome in found] == [(0, kind)]
