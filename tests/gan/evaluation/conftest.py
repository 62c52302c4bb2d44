"""Two runs and their evaluation."""

import pytest

from gan.evaluation import scoring, sets
from gan.evaluation.evaluation import evaluate
from gan.evaluation.report import create_report
from gan.scores import patches
from tests.gan.evaluation.drawn import HOSTILE, create_extractor, create_protocol, write_run


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two runs on the same data."""
    parent = tmp_path_factory.mktemp('runs')
    write_run(parent, HOSTILE, seed=0)
    write_run(parent, 'second', seed=1)
    return parent


@pytest.fixture(scope='module')
def measured(folder, tmp_path_factory):
    """The real images, the two runs and their report."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patches, '_DIRECTIONS', 8)
        patched.setattr(patches, '_REPLICATED', 4)
        patched.setattr(scoring, '_PAIRS', 200)
        patched.setattr(sets, '_CACHE', tmp_path_factory.mktemp('cache'))
        extractor = create_extractor()
        reals, evaluated = evaluate([folder / HOSTILE, folder / 'second'], extractor, create_protocol())
        return reals, evaluated, create_report(reals, evaluated, extractor, create_protocol())
