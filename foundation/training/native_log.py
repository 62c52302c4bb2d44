"""Silences a false alarm in the log of JAX's native code. Import it before JAX, which reads the setting once.

On CPUs, JAX 0.10.0 and 0.10.1 warn in 2,000 characters for every compiled program that they find in the cache:
the machine would lack features called `prefer-no-gather` and `prefer-no-scatter`. Those are preferences of the
compiler, which no machine has or lacks. Errors still arrive as exceptions.
"""

import os

from jaxlib.version import __version__  # takes a tenth of the time of importlib.metadata, before Ctrl-C is heeded

_ALARMING_VERSIONS = ('0.10.0', '0.10.1')
_LEVEL = 'TF_CPP_MIN_LOG_LEVEL'
_USUAL, _FATAL = '1', '3'  # the lowest level that is printed: what JAX sets where nothing is set, and the highest

if __version__ in _ALARMING_VERSIONS and os.environ.get(_LEVEL, _USUAL) == _USUAL:
    os.environ[_LEVEL] = _FATAL
