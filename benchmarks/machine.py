"""What the machine is and can do, for the heading of a table."""

import datetime as dt
import platform
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp


def describe(program: str) -> str:
    """Devices, versions, date, and the command that was run."""
    kind = jax.devices()[0].device_kind
    processor = '' if kind.lower() != 'cpu' else f' ({platform.processor() or platform.machine()})'
    command = f'python -m benchmarks.{program} {shlex.join(sys.argv[1:])}'.rstrip()
    return f'{jax.device_count()} x {kind}{processor}, JAX {jax.__version__}, {dt.date.today()}\n\n    {command}\n'


def matrix_product_flops(dtype: jnp.dtype) -> float:
    """Operations a second of one device in a large matrix product: the best that can be hoped for."""
    size, repeats = (1024, 8) if jax.default_backend() == 'cpu' else (8192, 32)
    matrix = jnp.ones((size, size), dtype)
    multiply = jax.jit(jnp.matmul)
    multiply(matrix, matrix).block_until_ready()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(repeats):
            product = multiply(matrix, matrix)
        product.block_until_ready()
        seconds.append((time.perf_counter() - start) / repeats)
    return 2 * size**3 / min(seconds)


def median_seconds(function: Callable[[], object], repeats: int) -> float:
    """Of one run, after a first one that compiles."""
    jax.block_until_ready(function())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def peak_bytes() -> int:
    """Peak memory of the first device since the start, or of the process where the device does not tell."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get('peak_bytes_in_use') or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
