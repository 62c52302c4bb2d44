"""Fixtures of the tests of `gan`."""

import pytest

from tests.gan.command import Commands


@pytest.fixture(scope='module')
def commands(tmp_path_factory):
    """Commands of the project, which share prepared data and compiled programs within a file."""
    return Commands(tmp_path_factory.mktemp('shared'))
