"""What the device reaches in products of matrices and in moving memory."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp

from benchmarks.accelerator.tasks import Context, Row, Task

_PRECISIONS = {  # type of the numbers, and the precision that XLA is asked for
    'bfloat16': (jnp.bfloat16, jax.lax.Precision.DEFAULT),
    'TF32': (jnp.float32, jax.lax.Precision.DEFAULT),
    'float32': (jnp.float32, jax.lax.Precision.HIGHEST),
}
_SECONDS = 0.5  # of each measurement


def create_tasks(rehearse: bool) -> Sequence[Task]:
    """The device by name, its matrix rates and its bandwidth."""
    return (
        Task('device', 1, _describe),
        Task('matrix rate', 6, _rates),
        Task('memory', 4, _bandwidths),
    )


def rate_of(context: Context, dtype: str) -> float | None:
    """The measured matrix rate in TFLOP/s for networks that compute in this type; None where it was not measured.

    On accelerators a float32 network multiplies in TF32 unless it asks for more.
    """
    name = 'TF32' if dtype == 'float32' else dtype
    rows = context.rows(part='machine', task='matrix rate')
    return next((row['TFLOP/s'] for row in reversed(rows) if row['type'] == name), None)


def bandwidth_of(context: Context) -> float | None:
    """The measured bandwidth of the device's memory in GB/s; None where it was not measured."""
    rows = context.rows(part='machine', task='memory')
    return next((row['GB/s'] for row in reversed(rows) if row['way'].startswith('device')), None)


def _describe(context: Context) -> Iterator[Row]:
    device = jax.devices()[0]
    stats = device.memory_stats() or {}
    yield {
        'name': device.device_kind,
        'devices': jax.device_count(),
        'driver': _driver(),
        'memory GiB': stats.get('bytes_limit', 0) / 2**30 or None,
        'CPU cores': os.cpu_count(),
    }


def _driver() -> str | None:
    """Of an NVIDIA GPU."""
    command = ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader']
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return told[0] if told else None


def _rates(context: Context) -> Iterator[Row]:
    size = 512 if context.rehearse or jax.default_backend() == 'cpu' else 8192
    for name, (dtype, precision) in _PRECISIONS.items():
        # Random numbers: some devices clock higher on zeros and ones.
        matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
        multiply = jax.jit(lambda a, b, p=precision: jnp.matmul(a, b, precision=p))
        yield {'type': name, 'size': size, 'TFLOP/s': 2e-12 * size**3 / _seconds(lambda: multiply(matrix, matrix))}  # noqa: B023


def _bandwidths(context: Context) -> Iterator[Row]:
    count = 2**22 if context.rehearse or jax.default_backend() == 'cpu' else 2**30
    array = jnp.zeros((count,), jnp.float32)
    add = jax.jit(lambda x: x + 1)
    yield {
        'way': 'device, read and write',
        'MiB': count / 2**18,
        'GB/s': 8e-9 * count / _seconds(lambda: add(array)),
    }
    host = jax.device_get(array[: count // 8])
    seconds = _seconds(lambda: jax.device_put(host))
    yield {'way': 'host to device', 'MiB': host.nbytes / 2**20, 'GB/s': 1e-9 * host.nbytes / seconds}


def _seconds(function: Callable[[], jax.Array]) -> float:
    """Of one call: the least of three groups that together take about half a second."""
    function().block_until_ready()
    start = time.perf_counter()
    function().block_until_ready()
    repeats = max(int(_SECONDS / 3 / max(time.perf_counter() - start, 1e-6)), 1)
    groups = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(min(repeats, 1000)):
            result = function()
        result.block_until_ready()
        groups.append((time.perf_counter() - start) / min(repeats, 1000))
    return min(groups)
