"""Trains small networks by SGD over the devices of all processes, with the parts of the loop, and saves the state.

    python -m tests.gan.train_sgd OUT [PORT PROCESS_COUNT PROCESS_ID]

SGD, because Adam divides by the gradient's size and so amplifies rounding. Saves one .npz for each way of
making the same five steps: `one` device of many, `all` devices, `scan` (five steps in a call), `host` (batches
from the host, each process reading its own rows).
"""

import sys
from pathlib import Path

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from foundation.training import parallel
from foundation.training.feed import device_feed, host_feed, place_on_devices
from foundation.training.phases import Compiler, Phase, abstract_states
from gan.step import Averaging, create_cycle
from tests.gan import nets

RESOLUTION, STEPS, BATCH, CLASSES, EXAMPLES = 4, 5, 16, 3, 40
# The generator's gradients are small at first; all weights must move far beyond the tolerance.
OPTIMIZERS = (optax.sgd(0.3), optax.sgd(0.03))


def _examples() -> dict[str, np.ndarray]:
    examples = nets.create_batch(RESOLUTION, count=EXAMPLES, num_classes=CLASSES)
    return {'image': np.rint(examples['image'] * 127 + 128).astype(np.uint8), 'label': examples['label']}


def _select(position: int, count: int) -> dict[str, np.ndarray]:
    return {'index': (np.arange(position, position + count, dtype=np.int32) * 7) % EXAMPLES}


def _unpack(rows):
    return {'image': rows['image'].astype(np.float32) / 127.5 - 1, 'label': rows['label']}


def _feed_from_devices(mesh, position, sizes):
    arrays = place_on_devices(_examples(), mesh)
    return device_feed(arrays, _select, _unpack, mesh, position=position, batch_size=BATCH, sizes=sizes)


def _feed_from_host(mesh, position, sizes):
    def batches():
        rows = BATCH // jax.process_count()
        for start in range(position + jax.process_index() * rows, 10**9, BATCH):
            index = _select(start, rows)['index']
            yield _unpack({name: array[index] for name, array in _examples().items()})

    return host_feed(batches(), mesh, sizes=sizes)


def _create_phase(mesh, open_feed) -> Phase:
    recipe = nets.create_recipe(
        resolution=RESOLUTION, num_classes=CLASSES, optimizers=OPTIMIZERS, averaging=Averaging(100.0, 0.0)
    )
    shape = jax.eval_shape(_unpack, nets.create_batch(RESOLUTION, count=BATCH, num_classes=CLASSES))
    return Phase(
        name='4x4',
        start=0,
        end=STEPS * BATCH,
        batch_size=BATCH,
        enter=lambda previous, key: nets.create_start(recipe, key),
        adopt=lambda previous, entered: entered,
        cycle=create_cycle(recipe),
        controls=lambda images: {'alpha': (images + BATCH) / (STEPS * BATCH), 'images_seen': images},
        open_feed=lambda position, sizes: open_feed(mesh, position, sizes),
        batch=shape,
        cost=1.0,
    )


def train(devices, open_feed=_feed_from_devices, *, steps_per_call=1) -> dict[str, np.ndarray]:
    """The state before and after five steps, by name, and each step's metrics."""
    mesh = Mesh(np.asarray(devices), (parallel.AXIS,))
    phases = [_create_phase(mesh, open_feed)]
    compiler = Compiler(phases, abstract_states(phases, mesh), mesh, steps_per_call)
    state, collected, done = compiler.enter(0)(None, np.uint32(3)), [], 0
    start = jax.device_get(state)
    sizes = phases[0].call_sizes(0, steps_per_call)
    for size, batches in zip(sizes, phases[0].open_feed(0, iter(sizes)), strict=True):
        images = [phases[0].controls((done + i) * BATCH) for i in range(size)]
        controls = {name: np.asarray([row[name] for row in images], np.float32) for name in images[0]}
        numbers = np.arange(done, done + size, dtype=np.int32)
        state, metrics = compiler.call(0, size, done)(state, batches, np.uint32(3), controls, numbers)
        collected.append(jax.device_get(metrics))
        done += size
    compiler.close(wait=True)
    series = {name: np.concatenate([m[name] for m in collected]) for name in collected[0]}
    return _by_name('start', start) | _by_name('end', state) | series


def _by_name(prefix: str, state) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {prefix + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def main(out: Path, port: str = '', count: str = '1', number: str = '0') -> None:
    """Makes the five steps in every way that these processes can."""
    jax.config.update('jax_compilation_cache_dir', str(out / 'cache'))
    if port:
        jax.config.update('jax_cpu_collectives_implementation', 'gloo')
        jax.distributed.initialize(f'localhost:{port}', int(count), int(number))
    results = {'all': train(jax.devices())}
    if port:
        results['host'] = train(jax.devices(), _feed_from_host)
    else:
        results |= {'one': train(jax.devices()[:1]), 'scan': train(jax.devices(), steps_per_call=STEPS)}
    for name, arrays in results.items():
        np.savez(out / f'{name}_{number}_of_{count}.npz', **arrays)  # type: ignore[arg-type]


if __name__ == '__main__':
    main(Path(sys.argv[1]), *sys.argv[2:])
