"""The tiny detector and what it says of its test split."""

import pytest

from detect.evaluation.outputs import measure, read_detector


@pytest.fixture(scope='module')
def detector(detector_workdir):
    return read_detector(detector_workdir, '')


@pytest.fixture(scope='module')
def measured(detector):
    return measure(detector, detector.recipe.data.with_every_source().open('test', train=False))
