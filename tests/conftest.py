"""Fixtures shared by all tests, and run-time checking of array shapes in our packages."""

import os
from pathlib import Path

import jaxtyping
import pytest

import tests.shape_checks  # noqa: F401  the hook finds it by name

jaxtyping.install_import_hook(['gan', 'training', 'input_pipeline'], 'tests.shape_checks.check')


@pytest.fixture(scope='session')
def medical_data() -> Path:
    """The folder of real images, or a skip that says where it was looked for."""
    default = Path(__file__).resolve().parents[2] / 'shared' / 'data'
    folder = Path(os.environ.get('MEDICAL_DATA_DIR', default))
    if not folder.is_dir():
        pytest.skip(f'real images are not at {folder}; set MEDICAL_DATA_DIR to run this test')
    return folder
