"""Starting again is quiet, on all versions of JAX."""

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
import gan
import jax, jax.numpy as jnp
jax.config.update('jax_compilation_cache_dir', sys.argv[1])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
print(jax.jit(lambda x: x.at[0].add(2.0).sum())(jnp.ones(3)))
"""


@pytest.mark.slow
def test_programs_from_the_cache_raise_no_alarm(tmp_path):
    starts = [
        subprocess.run([sys.executable, '-c', _PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [start.stdout for start in starts] == ['5.0\n'] * 2
    assert [start.stderr for start in starts] == [''] * 2
