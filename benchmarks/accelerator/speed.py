"""How fast training and prediction are, what they are made of, and how fast data arrive."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from benchmarks.accelerator import machine, subjects
from benchmarks.accelerator.subjects import Subject
from benchmarks.accelerator.tasks import Context, Row, Task
from foundation.training import compute, feed, parallel
from foundation.training.phases import make_call
from segment.recipe import create_recipe as create_unet_recipe

_SECONDS = 1.5  # that a measurement takes at least
_KERNELS = 10
_THREADS = 4  # that compile at the same time; nothing is timed meanwhile
_Subjects = Mapping[str, Callable[[], Subject]]


def create_tasks(rehearse: bool) -> Sequence[Task]:
    """In their order of worth; the programs of one task are compiled together."""
    if rehearse:
        toys: _Subjects = {
            'enhanced_gan 8': functools.partial(subjects.create_gan, 'enhanced_gan', 8, 4, 'float32', width=16),
            'dcgan 16': functools.partial(subjects.create_gan, 'dcgan', 16, 4, 'float32', width=16),
        }
        return (
            Task('training, toys', 1, functools.partial(_time_training, toys)),
            Task('kernels', 1, functools.partial(_list_kernels, toys['enhanced_gan 8'])),
            Task('prediction', 1, _time_predictions),
            Task('input', 1, _time_input),
        )
    first = _gans(256, ('enhanced_gan',))
    unet: _Subjects = {'unet 256': functools.partial(subjects.create_unet, 'default', 256, 0, 'auto')}
    detector: _Subjects = {'detector 256': functools.partial(subjects.create_detector, 'default', 256, 0, 'auto')}
    growing = ('enhanced_gan', 'pggan')
    groups: Sequence[tuple[str, float, _Subjects]] = (
        ('U-Net', 30, unet),
        ('PGGAN, detector', 40, {**_gans(256, ('pggan',)), **detector}),
        ('others', 50, _gans(64, ('dcgan', 'sngan')) | _gans(128, ('sagan', 'dcgan_medical'))),
        ('128x128', 40, _gans(128, growing)),
        ('64x64', 40, _gans(64, growing)),
        ('32x32', 50, _gans(32, (*growing, 'wgan_gp', 'conditional'))),
        ('512x512', 80, _gans(512, growing)),
        ('256x256, others', 80, _gans(256, ('dcgan', 'sagan'))),
    )
    return (
        Task('input', 6, _time_input),
        Task('prediction', 15, _time_predictions),
        Task('training, Enhanced-GAN 256x256', 30, functools.partial(_time_training, first)),
        Task('kernels', 12, functools.partial(_list_kernels, first['enhanced_gan 256'])),  # from the cache
        *(Task(f'training, {name}', cost, functools.partial(_time_training, made)) for name, cost, made in groups),
    )


def _gans(resolution: int, names: Sequence[str]) -> dict[str, Callable[[], Subject]]:
    return {
        f'{name} {resolution}': functools.partial(subjects.create_gan, name, resolution, 0, 'auto')
        for name in names
    }


@dataclasses.dataclass(frozen=True)
class _Program:
    """A compiled call, and what it is given.

    Attributes:
      call: `call(state, batches, seed, controls, numbers) -> (state, metrics)`; the state is used up.
      arguments: its first ones.
      steps: of one call.
      compile_seconds: until it was ready, others compiling beside it.
      flops: of a step, as XLA counts them before optimisation.
      bytes: that a step moves to and from memory, as XLA counts them after optimisation, loops over cycles once.
      memory: bytes of arguments, results and temporaries; None where the device does not tell.
    """

    call: Callable[..., tuple[PyTree, dict[str, jax.Array]]]
    arguments: tuple[Any, ...]
    steps: int
    compile_seconds: float
    flops: float
    bytes: float
    memory: int | None


def _compile(subject: Subject) -> _Program:
    cycles = 1 if compute.on_cpu() else compute.steps_per_call(0, len(subject.cycle)) // len(subject.cycle)
    pattern = subject.cycle * cycles
    state = jax.device_put(subject.draw_state(jax.random.key(0)))
    batch = jax.jit(subject.create_batch)(jax.random.key(1))
    batches = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(pattern)), batch)
    controls = {name: np.full(len(pattern), value, np.float32) for name, value in subject.controls.items()}
    rest = (batches, np.uint32(0), controls, np.arange(len(pattern), dtype=np.int32))
    start = time.perf_counter()
    call = jax.jit(make_call(pattern), donate_argnums=0).lower(state, *rest).compile()
    seconds = time.perf_counter() - start
    moved = (call.cost_analysis() or {}).get('bytes accessed', 0.0) / len(subject.cycle)
    flops = _count_flops(subject, state, batch)
    return _Program(call, (state, *rest), len(pattern), seconds, flops, moved, _memory_of(call))


def _count_flops(subject: Subject, state: PyTree, batch: PyTree) -> float:
    """Of a step, as the mean over the cycle. Steps alone are counted, since XLA counts the body of a loop once."""
    controls = {name: np.float32(value) for name, value in subject.controls.items()}
    counted = {
        step: jax.jit(step).lower(state, batch, jax.random.key(0), controls).cost_analysis() or {}
        for step in dict.fromkeys(subject.counted_cycle)
    }
    return sum(counted[step].get('flops', 0.0) for step in subject.counted_cycle) / len(subject.counted_cycle)


def _memory_of(program: Any) -> int | None:
    told = program.memory_analysis()
    if told is None:
        return None
    sizes = (told.argument_size_in_bytes, told.output_size_in_bytes, told.temp_size_in_bytes)
    return sum(sizes) - told.alias_size_in_bytes


def _compile_all(made: _Subjects) -> Iterator[tuple[str, Subject, Any]]:
    """Subjects with their programs, or with the error that kept one from compiling."""
    with ThreadPoolExecutor(1 if compute.on_cpu() else _THREADS) as executor:
        created = {name: create() for name, create in made.items()}
        futures = {name: executor.submit(_compile, subject) for name, subject in created.items()}
        results = {name: future.exception() or future.result() for name, future in futures.items()}
    for name, subject in created.items():
        yield name, subject, results.pop(name)


def _time_training(made: _Subjects, context: Context) -> Iterator[Row]:
    errors = []
    for name, subject, program in _compile_all(made):
        if isinstance(program, BaseException):
            errors.append(f'{name}: {str(program).splitlines()[0]}')
            continue
        step = _time_steps(program)
        yield {
            'table': 'training',
            'network': name.rsplit(' ', 1)[0],
            'pixels': subject.resolution,
            'batch': subject.batch_size,
            'type': str(compute.compute_dtype('auto')),
            'compile s': program.compile_seconds,
            'ms a step': 1e3 * step,
            'images/s': subject.batch_size / step,
            's per 1,000 images': 1e3 * step / subject.batch_size,
            'GFLOP a step': 1e-9 * program.flops,
            **_rate(context, program.flops / step),
            'roofline': _roofline(context, program, step),
            'MiB': None if program.memory is None else program.memory / 2**20,
        }
        del program
    if errors:
        raise RuntimeError('; '.join(errors))


def _rate(context: Context, flops: float) -> Row:
    """FLOPs a second, and their share of what products of matrices reach."""
    best = machine.rate_of(context, str(compute.compute_dtype('auto')))
    return {'TFLOP/s': 1e-12 * flops, 'share': None if best is None else 1e-12 * flops / best}


def _roofline(context: Context, program: _Program, seconds: float) -> float | None:
    """The least time that the matrix rate and the memory's bandwidth allow for a step, as a share of its time."""
    best = machine.rate_of(context, str(compute.compute_dtype('auto')))
    bandwidth = machine.bandwidth_of(context)
    if best is None or bandwidth is None:
        return None
    return max(1e-12 * program.flops / best, 1e-9 * program.bytes / bandwidth) / seconds


def _time_steps(program: _Program) -> float:
    """Seconds of a step."""
    state, *rest = program.arguments
    state, _ = jax.block_until_ready(program.call(state, *rest))
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < _SECONDS or calls < 2:
        state, metrics = program.call(state, *rest)
        jax.block_until_ready(metrics)
        calls += 1
    return (time.perf_counter() - start) / calls / program.steps


def _list_kernels(create: Callable[[], Subject], context: Context) -> Iterator[Row]:
    """The costliest kernels of a step by name, from a trace: what to make faster next."""
    program = _compile(create())
    state, *rest = program.arguments
    state, _ = jax.block_until_ready(program.call(state, *rest))
    folder = context.scratch / 'trace'
    with jax.profiler.trace(str(folder)):
        jax.block_until_ready(program.call(state, *rest))
    yield from top_kernels(folder, program.steps)


def top_kernels(folder: Path, steps: int) -> list[Row]:
    """Rows of the kernels that took the longest in the newest trace of a folder."""
    newest = max(folder.rglob('*.xplane.pb'), key=lambda path: path.stat().st_mtime)
    planes = list(jax.profiler.ProfileData.from_file(str(newest)).planes)
    devices = [plane for plane in planes if plane.name.startswith('/device:')]
    # On GPUs the streams hold kernels, and other lines of a device sums of them; on CPUs XLA's threads do.
    kind = 'Stream' if devices else 'tf_XLA'
    lines = [line for plane in devices or planes for line in plane.lines if line.name.startswith(kind)]
    totals: dict[str, list[float]] = {}
    for event in itertools.chain.from_iterable(line.events for line in lines):
        if event.duration_ns and '::' not in event.name:
            totals.setdefault(event.name, []).append(event.duration_ns)
    whole = sum(map(sum, totals.values()))
    ranked = sorted(totals.items(), key=lambda item: -sum(item[1]))[:_KERNELS]
    return [
        {
            'kernel': name[:80],
            'ms a step': 1e-6 * sum(times) / steps,
            'share': sum(times) / whole,
            'calls a step': len(times) / steps,
        }
        for name, times in ranked
    ]


def _time_predictions(context: Context) -> Iterator[Row]:
    side, count = (32, 2) if context.rehearse else (512, 16)
    variant = 'small' if context.rehearse else 'default'
    made: dict[str, Any] = {
        'unet': create_unet_recipe(subjects.create_unet_config(variant, side, 'auto')).network,
        'detector': subjects.create_detector_recipe(variant, side, 'auto').network,
    }
    for name, network in made.items():
        images = subjects.draw_images(jax.random.key(1), count, side, 1)
        variables = jax.device_put(subjects.draw_on_host(network.init, jax.random.key(0), np.asarray(images[:1])))
        for batch in (1, count):
            lowered = jax.jit(network.apply).lower(variables, images[:batch])
            start = time.perf_counter()
            predict = lowered.compile()
            compiled = time.perf_counter() - start
            seconds = _time_calls(lambda: predict(variables, images[:batch]))  # noqa: B023
            yield {
                'network': name,
                'pixels': side,
                'batch': batch,
                'compile s': compiled,
                'ms a batch': 1e3 * seconds,
                'images/s': batch / seconds,
                **_rate(context, (lowered.cost_analysis() or {}).get('flops', 0.0) / seconds),
            }


def _time_calls(function: Callable[[], Any]) -> float:
    """Seconds of a call whose result is waited for."""
    jax.block_until_ready(function())
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < _SECONDS / 2 or calls < 3:
        jax.block_until_ready(function())
        calls += 1
    return (time.perf_counter() - start) / calls


def _time_input(context: Context) -> Iterator[Row]:
    """Batches from decoded images on the device, and from the host."""
    side, count, batch, steps = (16, 64, 8, 2) if context.rehearse else (256, 4096, 8, 32)
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 1), np.uint8)
    mesh = parallel.create_mesh()
    kept = feed.place_on_devices({'image': images}, mesh)

    def select(position: int, rows: int) -> dict[str, np.ndarray]:
        return {'index': np.arange(position, position + rows, dtype=np.int32) % count}

    def unpack(rows: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        return {'image': rows['image'].astype(jnp.float32) / 127.5 - 1}

    sizes = itertools.repeat(steps)
    on_device = feed.device_feed(kept, select, unpack, mesh, position=0, batch_size=batch * mesh.size, sizes=sizes)
    yield _input_row(
        'gathered on the device', side, _time_calls(lambda: next(on_device)), batch * mesh.size * steps
    )
    host = images[: batch * mesh.size].astype(np.float32)
    from_host = feed.host_feed(({'image': host} for _ in itertools.count()), mesh, sizes=sizes)
    yield _input_row('from the host', side, _time_calls(lambda: next(from_host)), batch * mesh.size * steps)


def _input_row(way: str, side: int, seconds: float, images: int) -> Row:
    return {
        'way': way,
        'pixels': side,
        'images/s': images / seconds,
        'GB/s of float32': 4e-9 * images * side**2 / seconds,
    }
