"""The device against the CPU, from the same state; bfloat16 against float32; many steps a call against one."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import jax
import numpy as np
import scipy.stats
from jaxtyping import PyTree

from benchmarks import operations
from benchmarks.accelerator import resume, subjects
from benchmarks.accelerator.subjects import Subject
from benchmarks.accelerator.tasks import Context, Row, Task
from foundation.training.phases import make_call
from segment.recipe import create_recipe as create_unet_recipe

LARGEST_LOSS_DIFFERENCE = 1e-4
LARGEST_GRADIENT_DIFFERENCE = LARGEST_UPDATE_DIFFERENCE = 1e-3
LARGEST_BFLOAT16_DIFFERENCE = 0.02
_LEAST_LOSS = 0.1  # losses nearer to 0 are compared with this
_LEAST_LEAF = 1e-3  # a layer whose gradient is a smaller share of its network's is compared with this share of it
_THREADS = 4  # that compile at the same time
_WIDTH = 32
_GATHERED = ('generator_loss', 'discriminator_loss', 'penalty', 'loss')


_FIRST = ('enhanced_gan', 'unet', 'detector', 'sngan')  # one of each kind


def create_tasks(rehearse: bool) -> Sequence[Task]:
    """The cheapest first, then in their order of worth."""
    made = create_subjects()
    first = {name: made[name] for name in _FIRST[: 3 if rehearse else 4]}
    others = {name: create for name, create in made.items() if name not in _FIRST}
    tasks = (
        Task('answers', 15, _compare_answers),
        Task('step of every network', 30, functools.partial(_compare_steps, first)),
        Task('many steps a call', 20, _compare_calls),
        Task('bfloat16', 30, _compare_types),
        Task('step of every network, the others', 40, functools.partial(_compare_steps, others)),
        *resume.create_tasks(rehearse),
        Task('step at 256x256', 45, _compare_large_step),
        Task('operations', 45, _compare_operations),
    )
    # The last two of these are parts of their own, or too large for CPUs.
    left_out = {'step of every network, the others', 'step at 256x256', 'stop and resume'} if rehearse else set()
    return [task for task in tasks if task.name not in left_out]


def create_subjects(width: int = _WIDTH, side: int = 16) -> dict[str, Callable[[], Subject]]:
    """Narrow networks for small images: what can go wrong does not depend on their size, and they compile fast."""
    gans: dict[str, Callable[[], Subject]] = {
        name: functools.partial(
            subjects.create_gan, name, max(side, _smallest(name)), 4, 'float32', width=width, compared=True
        )
        for name in subjects.GANS
    }
    return gans | {
        name: functools.partial(create, 'small', max(2 * side, _smallest(name)), 4, 'float32', compared=True)
        for name, create in (
            ('unet', subjects.create_unet),
            ('detector', subjects.create_detector),
            ('classifier', subjects.create_classifier),
        )
    }


def _smallest(name: str) -> int:
    """Pixels a side that a network's layers can halve."""
    return {'dcgan': 16, 'dcgan_medical': 16, 'unet': 32}.get(name, 8)


def _compare_steps(made: Mapping[str, Callable[[], Subject]], context: Context) -> Iterator[Row]:
    """A row for each network as soon as it is there, and an error in the end where one failed."""
    errors = []
    with ThreadPoolExecutor(1 if context.rehearse else _THREADS) as executor:
        rows = {executor.submit(_create_and_compare, create): name for name, create in made.items()}
        for row in as_completed(rows):
            error = row.exception()
            if error is None:
                yield {'table': 'steps', 'network': rows[row]} | row.result()
            else:
                errors.append(f'{rows[row]}: {type(error).__name__}: {str(error).splitlines()[0]}')
    if errors:
        raise RuntimeError('; '.join(errors))


def _compare_large_step(context: Context) -> Iterator[Row]:
    del context
    subject = subjects.create_gan('enhanced_gan', 256, 4, 'float32', compared=True)
    yield {'table': 'steps', 'network': 'enhanced_gan, 256x256'} | compare_step(subject)


def _create_and_compare(create: Callable[[], Subject]) -> Row:
    return compare_step(create())


Stepped = tuple[PyTree, dict[str, float]]  # a state and its metrics


def compare_step(subject: Subject) -> Row:
    """One whole step on the first CPU and on the first device: how far losses, gradients and updates differ."""
    cpu, device = jax.devices('cpu')[0], jax.devices()[0]
    with jax.default_device(cpu):
        state = subject.draw_state(jax.random.key(0))
        batch = subject.create_batch(jax.random.key(1))
    with ThreadPoolExecutor(len({cpu, device})) as executor:  # both compile at once
        run = functools.partial(run_step, subject, state, batch)
        expected, computed = executor.map(run, (cpu, device))
    return judge_step(state, computed, expected)


def judge_step(before: PyTree, computed: Stepped, expected: Stepped) -> Row:
    """How far two forms of one step from the same state differ, and whether that is little enough."""
    (state, observed), (own, told) = computed, expected
    losses = [value for value in _GATHERED if value in told]
    loss = max(abs(observed[key] - told[key]) / max(abs(told[key]), _LEAST_LOSS) for key in losses)
    gradients = max(map(_difference, _gradients(state), _gradients(own)))
    updates = max(map(_difference, _updates(before, state), _updates(before, own)))
    return {
        'losses': float(loss),
        'gradients': gradients,
        'new parameters': updates,
        'passes': bool(
            loss <= LARGEST_LOSS_DIFFERENCE
            and gradients <= LARGEST_GRADIENT_DIFFERENCE
            and updates <= LARGEST_UPDATE_DIFFERENCE
        ),
    }


def run_step(subject: Subject, state: PyTree, batch: PyTree, device: jax.Device) -> Stepped:
    """The state after a whole step on a device, in full float32, and its metrics."""
    with jax.default_matmul_precision('highest'), jax.default_device(device):
        given = jax.device_put((state, batch, jax.random.key(2), _arrays(subject.controls)), device)
        state, metrics = jax.jit(subject.whole_step)(*given)
        state = jax.device_get(state)
        return state, {name: float(value) for name, value in jax.device_get(metrics).items()}


def _arrays(controls: Mapping[str, float]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float32) for name, value in controls.items()}


def _networks(state: PyTree) -> list[Any]:
    """The networks of a GAN's state, or of a supervised one's."""
    return list(state.networks.values()) if hasattr(state, 'networks') else [state.network]


def _updates(before: PyTree, after: PyTree) -> list[PyTree]:
    """What was added to the parameters of each network."""
    pairs = zip(_networks(after), _networks(before), strict=True)
    return [jax.tree.map(lambda a, b: np.float64(a) - b, new.params, old.params) for new, old in pairs]


def _gradients(state: PyTree) -> list[PyTree]:
    """What `subjects.create_plain_optimizer` remembers."""
    return [network.opt_state[0] for network in _networks(state)]


def _difference(computed: PyTree, expected: PyTree) -> float:
    """The largest over all layers of |a - b| / |b|."""
    pairs = list(zip(jax.tree.leaves(computed), jax.tree.leaves(expected), strict=True))
    least = _LEAST_LEAF * np.sqrt(sum(np.sum(np.square(b, dtype=np.float64)) for _, b in pairs))
    return max(float(np.linalg.norm(a - b) / max(np.linalg.norm(b), least, 1e-30)) for a, b in pairs)


def _largest_differences(computed: PyTree, expected: PyTree) -> list[float]:
    """max |a - b| / max |b| of each leaf that has values: a detector without patches has no shares of them."""
    pairs = zip(jax.tree.leaves(computed), jax.tree.leaves(expected), strict=True)
    return [float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-12)) for a, b in pairs if np.size(b)]


def _compare_types(context: Context) -> Iterator[Row]:
    """Enhanced-GAN in both types on the device: the first loss, and how its losses are distributed afterwards.

    Single losses part ways by chance, so the distributions are compared: Kolmogorov and Smirnov's distance, and
    the same between two float32 runs of different seeds, which shows how large chance makes it.
    """
    side, count, width = (4, 12, _WIDTH) if context.rehearse else (16, 200, 64)
    types = ('float32', 'bfloat16')
    made = [subjects.create_gan('enhanced_gan', side, 8, dtype, width=width) for dtype in types]
    with ThreadPoolExecutor(1 if context.rehearse else _THREADS) as executor:
        runs = dict(zip(types, executor.map(functools.partial(_compile_run, count=count), made), strict=True))
    losses = {
        (dtype, seed): runs[dtype](seed) for dtype, seed in (('float32', 0), ('bfloat16', 0), ('float32', 1))
    }
    for name in ('discriminator_loss', 'generator_loss'):
        whole, half, other = (losses[key][name] for key in (('float32', 0), ('bfloat16', 0), ('float32', 1)))
        first = abs(half[0] - whole[0]) / max(abs(whole[0]), _LEAST_LOSS)
        distance, chance = (float(scipy.stats.ks_2samp(whole, x).statistic) for x in (half, other))
        yield {
            'loss': name,
            'first, float32': float(whole[0]),
            'first, bfloat16': float(half[0]),
            'difference': float(first),
            'median, float32': float(np.median(whole)),
            'median, bfloat16': float(np.median(half)),
            'distance of distributions': distance,
            'of two seeds': chance,
            'passes': bool(first <= LARGEST_BFLOAT16_DIFFERENCE and distance <= chance + 0.1),
        }


def _compile_run(subject: Subject, count: int) -> Callable[[int], dict[str, np.ndarray]]:
    """Compiles the function from a seed to every loss of so many steps, each on a batch of its own."""

    def step(state: PyTree, key: jax.Array) -> tuple[PyTree, dict[str, jax.Array]]:
        batch_key, step_key = jax.random.split(key)
        return subject.whole_step(state, subject.create_batch(batch_key), step_key, _arrays(subject.controls))

    def run(state: PyTree, key: jax.Array) -> dict[str, jax.Array]:
        metrics = jax.lax.scan(step, state, jax.random.split(key, count))[1]
        return {name: metrics[name] for name in _GATHERED if name in metrics}

    state = jax.device_put(subject.draw_state(jax.random.key(0)))
    program = jax.jit(run).lower(state, jax.random.key(0)).compile()
    return lambda seed: jax.device_get(program(state, jax.random.key(seed)))


def _compare_calls(context: Context) -> Iterator[Row]:
    """Four steps in one call against four calls, in full float32."""
    side, count = (4, 2) if context.rehearse else (16, 4)
    for name in ('enhanced_gan', 'pggan')[: 1 if context.rehearse else 2]:
        subject = subjects.create_gan(name, side, 4, 'float32', width=_WIDTH)
        with ThreadPoolExecutor(1 if context.rehearse else 2) as executor:  # both compile at once
            one, many = executor.map(functools.partial(_run_calls, subject, count), (1, count))
        losses = [key for key in _GATHERED if key in one]
        first = max(abs(one[key][0] - many[key][0]) / max(abs(one[key][0]), _LEAST_LOSS) for key in losses)
        last = max(abs(one[key][-1] - many[key][-1]) / max(abs(one[key][-1]), _LEAST_LOSS) for key in losses)
        yield {
            'network': name,
            'steps': count,
            'first loss': float(first),
            'last loss': float(last),
            'bit for bit': all(np.array_equal(one[key], many[key]) for key in losses),
            'passes': bool(first <= LARGEST_LOSS_DIFFERENCE),
        }


def _run_calls(subject: Subject, count: int, size: int) -> dict[str, np.ndarray]:
    """The losses of `count` steps in calls of `size`, in full float32."""
    with jax.default_matmul_precision('highest'):
        return _gather_losses(subject, count, size)


def _gather_losses(subject: Subject, count: int, size: int) -> dict[str, np.ndarray]:
    call = jax.jit(make_call((subject.whole_step,) * size))
    state = jax.device_put(subject.draw_state(jax.random.key(0)))
    batches = jax.vmap(subject.create_batch)(jax.random.split(jax.random.key(1), count))
    controls = {name: np.full(size, value, np.float32) for name, value in subject.controls.items()}
    collected = []
    for start in range(0, count, size):
        part = jax.tree.map(lambda leaf, start=start: leaf[start : start + size], batches)
        numbers = np.arange(start, start + size, dtype=np.int32)
        state, metrics = call(state, part, np.uint32(0), controls, numbers)
        collected.append(jax.device_get(metrics))
    return {
        key: np.concatenate([metrics[key] for metrics in collected]) for key in _GATHERED if key in collected[0]
    }


def _compare_answers(context: Context) -> Iterator[Row]:
    """What a detector, a U-Net and an extractor answer, on the device and on the CPU, in full float32."""
    side = 32 if context.rehearse else 128
    made = {
        'detector': subjects.create_detector_recipe(
            'small' if context.rehearse else 'default', side, 'float32'
        ).network,
        'U-Net': create_unet_recipe(
            subjects.create_unet_config('small' if context.rehearse else 'default', side, 'float32')
        ).network,
    }
    if not context.rehearse:
        made['extractor (ResNet-18)'] = subjects.create_classifier_recipe('resnet18', side, 'float32').network
    with ThreadPoolExecutor(1 if context.rehearse else _THREADS) as executor:
        differences = {executor.submit(_compare_answer, network, side): name for name, network in made.items()}
        for found in as_completed(differences):
            difference = found.result()
            row = {'network': differences[found], 'pixels': side, 'difference': difference}
            yield row | {'passes': difference <= 1e-3}


def _compare_answer(network: Any, side: int) -> float:
    cpu, device = (_answer(network, side, place) for place in (jax.devices('cpu')[0], jax.devices()[0]))
    return max(_largest_differences(device, cpu))


def _answer(network: Any, side: int, device: jax.Device) -> PyTree:
    with jax.default_matmul_precision('highest'), jax.default_device(device):
        images = np.asarray(subjects.draw_images(jax.random.key(1), 2, side, 1))
        with jax.default_device(jax.devices('cpu')[0]):
            variables = jax.device_get(jax.jit(network.init)(jax.random.key(0), images))
        return jax.device_get(jax.jit(network.apply)(*jax.device_put((variables, images), device)))


def _compare_operations(context: Context) -> Iterator[Row]:
    """Single operations against NumPy in float64: see `benchmarks.operations`."""
    chosen = operations.create_operations()[:: 12 if context.rehearse else 1]
    with ThreadPoolExecutor(_THREADS) as executor:
        errors = list(executor.map(operations.error_of, chosen))
    beyond = [(error, own) for error, own in zip(errors, chosen, strict=True) if not error < own.tolerance]
    yield {
        'operations': len(chosen),
        'beyond their tolerance': len(beyond),
        'largest difference': max(errors),
        'which': [own.name for _, own in beyond] or None,
        'passes': not beyond,
    }
