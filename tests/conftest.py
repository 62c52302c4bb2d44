"""Fixtures shared by all tests, and run-time checking of array shapes in our packages."""

import gc
import os
import tempfile
from pathlib import Path

# Tests compile far more than they compute: no optimisation, and no program is compiled twice.
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} --xla_backend_optimization_level=0'.strip()
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', tempfile.mkdtemp(prefix='enhanced-gan-tests-'))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')

import jaxtyping
import pytest

import tests.shape_checks  # noqa: F401  the hook finds it by name

# A sixth of a suite's time; `.ci/run` spends it on one of its two suites.
if os.environ.get('ENHANCED_GAN_SHAPES', 'checked') == 'checked':
    jaxtyping.install_import_hook(
        ['backbones', 'detect', 'gan', 'input_pipeline', 'segment', 'foundation'], 'tests.shape_checks.check'
    )

# What JAX traces is many small objects and few cycles: by default a sixth of the time goes into looking for them.
gc.freeze()
gc.set_threshold(100_000, 10, 2)

# Names become pseudonyms by a key of the tests' own, never by that of who runs them.
_KEY = Path(tempfile.mkdtemp(prefix='enhanced-gan-key-'), 'key')
_KEY.write_text('the key of the tests, which is no secret\n')
_KEY.chmod(0o600)
os.environ['ENHANCED_GAN_KEY'] = str(_KEY)


@pytest.fixture(scope='session')
def medical_data() -> Path:
    """The folder of real images, or a skip that says where it was looked for."""
    default = Path(__file__).resolve().parents[2] / 'shared' / 'data'
    folder = Path(os.environ.get('MEDICAL_DATA_DIR', default))
    if not folder.is_dir():
        pytest.skip(f'real images are not at {folder}; set MEDICAL_DATA_DIR to run this test')
    return folder
