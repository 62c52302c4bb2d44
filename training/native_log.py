"""Silences a false alarm in the log of JAX's native code. Import it before JAX, which reads the setting once.

On CPUs, JAX 0.10.0 and 0.10.1 warn in 2,000 characters for every compiled program that they find in the cache:
the machine would lack features called `prefer-no-gather` and `prefer-no-scatter`. Those are preferences of the
compiler, which no machine has or lacks. Errors still arrive as exceptions.
"""

import importlib.metadata
import os

_ALARMING_VERSIONS = ('0.10.0', '0.10.1')
_FATAL = '3'  # the lowest level that is printed

if importlib.metadata.version('jaxlib') in _ALARMING_VERSIONS:
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', _FATAL)
