"""How long programs of growing size take until they run: traced, compiled, called once, called again."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from benchmarks.accelerator import subjects
from benchmarks.accelerator.subjects import Subject
from benchmarks.accelerator.tasks import Context, Row, Task
from foundation.training import compute
from foundation.training.phases import make_call

_SECONDS = 1.0  # of later calls
_NETWORK = 'enhanced_gan'


class Program(NamedTuple):
    """A function, its arguments, and how many steps of training it makes."""

    function: Callable[..., Any]
    arguments: Sequence[Any]
    steps: int = 0


def create_tasks(rehearse: bool) -> Sequence[Task]:
    """From the smallest to the largest, each with a time limit of its own."""
    return (
        _task('convolution, 3x3', 3, 15, _convolve),
        _task('narrow 16x16, generator', 5, 20, _generate),
        _task('narrow 16x16, gradient of a loss', 6, 25, _differentiate),
        _task('narrow 16x16, fresh state', 6, 25, _begin),
        _task('narrow 16x16, 1 step a call', 10, 35, functools.partial(_step, 1)),
        *create_small_tasks(rehearse),
        Task('64x64, 1 step a call', 12, functools.partial(_measure_full_width, '64x64, 1 step a call'), 45),
    )


def create_small_tasks(rehearse: bool) -> Sequence[Task]:
    """The calls of many steps of a narrow network."""
    return (
        _task('narrow 16x16, 2 steps a call', 8, 35, functools.partial(_step, 2)),
        _task('narrow 16x16, 32 steps a call', 8, 35, functools.partial(_step, 4 if rehearse else 32)),
    )


def _task(name: str, seconds: float, most: float, create: Callable[[bool], Program]) -> Task:
    return Task(name, seconds, functools.partial(_measure, name, create), most)


def _measure(name: str, create: Callable[[bool], Program], context: Context) -> Iterator[Row]:
    yield from (row for row, _ in _climb(name, create(context.rehearse)))


def _measure_full_width(name: str, context: Context) -> Iterator[Row]:
    """A step as training makes it first, whose speed its schedule is made from."""
    side, batch, width = (8, 4, 16) if context.rehearse else (64, 64, 0)
    subject = subjects.create_gan(_NETWORK, side, batch, 'auto', width=width)
    for row, seconds in _climb(name, _call(subject, 1)):
        speed = {'network': _NETWORK, 'pixels': side, 'images/s': batch / seconds} if seconds else {}
        yield row | speed


def _climb(name: str, program: Program) -> Iterator[tuple[Row, float]]:
    """A row when the program is ready and one when it has run, with the seconds of a call."""
    arguments = jax.device_put(program.arguments)
    start = time.perf_counter()
    lowered = jax.jit(program.function).lower(*arguments)
    traced = time.perf_counter()
    compiled = lowered.compile()
    ready = time.perf_counter()
    row: Row = {'table': 'ready', 'program': name, 'trace s': traced - start, 'compile s': ready - traced}
    yield row | {'kernels': _count_kernels(compiled.as_text() or '')}, 0.0
    start = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    first, start, calls = time.perf_counter() - start, time.perf_counter(), 0
    while time.perf_counter() - start < _SECONDS or calls < 2:
        jax.block_until_ready(compiled(*arguments))
        calls += 1
    seconds = (time.perf_counter() - start) / calls
    row = {'table': 'called', 'program': name, 'first call s': first, 'later call ms': 1e3 * seconds}
    yield row | {'ms a step': 1e3 * seconds / program.steps if program.steps else None}, seconds


def _count_kernels(text: str) -> int:
    """Fusions and calls of libraries in a compiled program."""
    return sum(text.count(f' {kind}(') for kind in ('fusion', 'custom-call'))


def _convolve(rehearse: bool) -> Program:
    side, width = (8, 4) if rehearse else (64, 64)
    dtype = compute.compute_dtype('auto')
    convolve = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding='SAME',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    return Program(convolve, (jnp.ones((16, side, side, width), dtype), jnp.ones((3, 3, width, width), dtype)))


def _narrow(rehearse: bool) -> Subject:
    side, width = (8, 8) if rehearse else (16, 32)
    return subjects.create_gan(_NETWORK, side, 4, 'float32', width=width)


def _generate(rehearse: bool) -> Program:
    subject = _narrow(rehearse)
    state = subject.draw_state(jax.random.key(0))
    generator = subject.networks['generator']

    def generate(variables: PyTree, latents: jax.Array) -> jax.Array:
        return generator.apply(variables, latents, np.zeros(len(latents), np.int32), np.float32(1))

    latents = jax.random.normal(jax.random.key(1), (subject.batch_size, generator.latent_size))
    return Program(generate, (state.networks['generator'].variables, latents))


def _differentiate(rehearse: bool) -> Program:
    """The discriminator's logits of real images, differentiated by its parameters."""
    subject = _narrow(rehearse)
    network = subject.draw_state(jax.random.key(0)).networks['discriminator']
    batch = subject.create_batch(jax.random.key(1))
    discriminator = subject.networks['discriminator']

    def loss(params: PyTree, model_state: PyTree, batch: Mapping[str, jax.Array]) -> jax.Array:
        variables = {'params': params, **model_state}
        verdict = discriminator.apply(variables, batch['image'], batch['label'], np.float32(1))
        return jax.nn.softplus(-verdict.logits).mean()

    return Program(jax.grad(loss), (network.params, network.model_state, batch))


def _begin(rehearse: bool) -> Program:
    return Program(_narrow(rehearse).create_state, (jax.random.key(0),))


def _step(count: int, rehearse: bool) -> Program:
    return _call(_narrow(rehearse), count)


def _call(subject: Subject, count: int) -> Program:
    """So many whole steps in one call, as training makes them."""
    state, batch = subject.draw_state(jax.random.key(0)), subject.create_batch(jax.random.key(1))
    batches = jax.tree.map(lambda leaf: np.stack([leaf] * count), batch)
    controls = {name: np.full(count, value, np.float32) for name, value in subject.controls.items()}
    numbers = np.arange(count, dtype=np.int32)
    call = make_call((subject.whole_step,) * count)
    return Program(call, (state, batches, np.uint32(0), controls, numbers), count)
