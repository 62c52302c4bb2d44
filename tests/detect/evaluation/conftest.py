"""The tiny detector and what it says of its test split."""

import pytest

from detect.evaluation.outputs import measure, open_every_source, read_detector


@pytest.fixture(scope='module')
def detector(detector_workdir):
    return read_detector(detector_workdir, '')


@pytest.fixture(scope='module')
def measured(detector):
    return measure(detector, open_every_source(detector.trained.config, 'test'))
