"""A small regression in two phases, the second of which grows the state, for tests of the loop."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from foundation.training import parallel
from foundation.training.feed import host_feed
from foundation.training.phases import Phase

WIDTHS = {'narrow': 3, 'wide': 5}


@flax.struct.dataclass
class ToyState:
    weights: jax.Array
    updates: jax.Array


def _rows(position: int, count: int, width: int) -> np.ndarray:
    """Examples by position: random access."""
    draws = [np.random.default_rng(i).normal(size=width + 1) for i in range(position, position + count)]
    return np.asarray(draws, np.float32)


def create_phases(mesh, *, steps=6, batch_size=8, broken=False) -> list[Phase]:
    """Two phases of `steps` steps; `broken` gradients are NaN from step 4 on."""

    def phase(name: str, index: int) -> Phase:
        width, start = WIDTHS[name], index * steps * batch_size

        def enter(previous, key):
            weights = jax.random.normal(key, (width,))
            if previous is None:
                return ToyState(weights, jnp.zeros((), jnp.int32))
            return ToyState(weights.at[: previous.weights.size].set(previous.weights), previous.updates + 0)

        def step(state, batch, key, controls):
            def loss(weights):
                noise = jax.random.normal(key, (batch['x'].shape[0],))
                return jnp.mean(jnp.square(batch['x'] @ weights - batch['y'] + 0.1 * noise))

            value, gradient = jax.value_and_grad(loss)(state.weights)
            bad = broken & (state.updates >= 4)
            skipped = jnp.where(bad, state.updates - 3, 0)
            new = ToyState(state.weights - 0.05 * controls['alpha'] * gradient, state.updates + 1)
            return new, {'loss': value, 'skipped_in_a_row': skipped}

        def open_feed(position, sizes):
            def batches():
                at = position
                while True:
                    rows = _rows(at, batch_size, width)
                    yield {'x': rows[:, :width], 'y': rows[:, width]}
                    at += batch_size

            return host_feed(batches(), mesh, sizes=sizes)

        return Phase(
            name=name,
            start=start,
            end=start + steps * batch_size,
            batch_size=batch_size,
            enter=enter,
            adopt=lambda previous, entered: entered,
            cycle=(step,),
            controls=lambda images: {'alpha': min((images - start) / (2 * batch_size) + 0.5, 1.0)},
            open_feed=open_feed,
            batch={
                'x': jax.ShapeDtypeStruct((batch_size, width), np.float32),
                'y': jax.ShapeDtypeStruct((batch_size,), np.float32),
            },
            cost=1.0,
        )

    return [phase(name, index) for index, name in enumerate(WIDTHS)]


def stop_after(phases, images: int, stop) -> list[Phase]:
    """The same phases, calling `stop` when the batch that ends at `images` has been fetched."""

    def stopping(phase: Phase) -> Phase:
        def open_feed(position, sizes):
            for batches in phase.open_feed(position, sizes):
                position += phase.batch_size * batches['y'].shape[0]
                if position >= images:
                    stop()
                yield batches

        return dataclasses.replace(phase, open_feed=open_feed)

    return [stopping(phase) for phase in phases]


def mesh():
    return parallel.create_mesh()
