"""Times training, stage by stage, with the loop's own feed and compiled calls, and prints a Markdown table.

    python -m benchmarks.train_step --config=configs/gan/enhanced_gan.py --resolutions=64,128,256

Columns: compile, until the call of a stage is ready; step, from the wall clock over all timed steps, input
included; input, the share of that time spent waiting for batches; model FLOP/s, the operations that XLA counts in
the optimised program of one step (`cost_analysis`; it counts the body of a loop once, so a program of one step is
counted, and a chunked attention is undercounted) over the time of a step; share, of what one large matrix product
reaches in this run in the same type; memory, the device's peak where it tells, else the process's.

Steps are kept for the estimates of training with the same config on this machine (`foundation.training.speed`).
"""

import tempfile
import time
from collections.abc import Sequence
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from benchmarks import machine
from benchmarks.calls import time_calls
from foundation.training import parallel
from foundation.training.phases import Compiler, Phase, abstract_states
from foundation.training.speed import name_command, name_step, write_speeds
from gan.domains import TrainingImages
from gan.recipe import GanRecipe, create_recipe
from gan.schedule import Stage
from gan.train import create_phase

_CONFIG = config_flags.DEFINE_config_file('config', 'configs/gan/tiny.py', 'Path of a config file.')
_RESOLUTIONS = flags.DEFINE_list('resolutions', None, 'Stages to time; all by default.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', None, "Images of a global batch; the config's by default.")
_STEPS = flags.DEFINE_integer('steps', 64, 'Timed steps of each stage, rounded up to whole calls.', lower_bound=1)
_DTYPE = flags.DEFINE_enum('compute_dtype', 'auto', ['auto', 'float32', 'bfloat16'], 'Of the networks.')
_PHANTOMS = 64
_HEADER = ('stage', 'batch', 'compile s', 'step ms', 'images/s', 'input', 'model GFLOP/s', 'share', 'memory MiB')


def main(_: Sequence[str]) -> None:
    """Times the chosen stages on phantoms drawn for it."""
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as data_dir:
        command = _name_command()
        recipe = create_recipe(_configure(_CONFIG.value, data_dir))
        mesh = parallel.create_mesh()
        images = recipe.open_training()
        stages = _choose_stages(recipe)
        best = machine.matrix_product_flops(recipe.dtype) * mesh.size
        _print_heading(recipe, best)
        for stage in stages:
            line, seconds = _time_stage(recipe, stage, images, mesh, best)
            print(line, flush=True)
            write_speeds(command, {name_step(stage.batch_size, stage.resolution): seconds})


def _name_command() -> str:
    """As training with this config finds its speeds."""
    config = flags.FLAGS[_CONFIG.name]
    changes = config_flags.get_override_values(config)
    if _DTYPE.value != 'auto':
        changes = changes | {'compute_dtype': _DTYPE.value}
    return name_command(config_flags.get_config_filename(config), changes)


def _configure(config: ConfigDict, data_dir: str) -> ConfigDict:
    """The config with few phantoms as data, and stages that are long enough."""
    with config.unlocked():
        config.data.name, config.data.data_dir = 'phantom_benchmark', data_dir
        config.data.phantom.count, config.data.phantom.size = _PHANTOMS, config.resolution
        config.compute_dtype = _DTYPE.value
        if _BATCH_SIZE.value:
            config.schedule.batch_size = dict.fromkeys(config.schedule.batch_size, _BATCH_SIZE.value)
        config.schedule.stable_images = 2**40
    return config


def _choose_stages(recipe: GanRecipe) -> list[Stage]:
    stages = recipe.stages(num_examples=_PHANTOMS)
    return [stage for stage in stages if not _RESOLUTIONS.value or str(stage.resolution) in _RESOLUTIONS.value]


def _print_heading(recipe: GanRecipe, best: float) -> None:
    print(machine.describe('train_step'))
    print(f'{recipe.dtype}, matrix product {best / 1e9:.0f} GFLOP/s, ', end='')
    print(f'{recipe.periods.steps_per_call} steps a call.\n')
    print(f'| {" | ".join(_HEADER)} |\n|{" ---: |" * len(_HEADER)}')


def _time_stage(
    recipe: GanRecipe, stage: Stage, images: TrainingImages, mesh: jax.sharding.Mesh, best: float
) -> tuple[str, float]:
    """One line of the table, and the seconds of a step."""
    size = recipe.periods.steps_per_call
    phase = create_phase(recipe, stage, images, mesh)
    # Alone, so that nothing is copied from the stage before.
    compiler = Compiler([phase], abstract_states([phase], mesh), mesh, size)
    start = time.perf_counter()
    compiler.call(0, size, 0)
    compile_seconds = time.perf_counter() - start
    calls = -(-_STEPS.value // size)
    seconds, waiting = time_calls(phase, compiler, size, calls)
    step_seconds = seconds / (calls * size)
    flops = _flops_of_a_step(phase, compiler, mesh.size) / step_seconds
    compiler.close(wait=True)
    cells = [
        stage.name,
        stage.batch_size,
        f'{compile_seconds:.1f}',
        f'{step_seconds * 1e3:.1f}',
        f'{stage.batch_size / step_seconds:.0f}',
        f'{waiting / seconds:.1%}',
        f'{flops / 1e9:.1f}',
        f'{flops / best:.1%}',
        f'{machine.peak_bytes() / 2**20:.0f}',
    ]
    return f'| {" | ".join(map(str, cells))} |', step_seconds


def _flops_of_a_step(phase: Phase, compiler: Compiler, devices: int) -> float:
    """Operations of one step over all devices, as the mean over the cycle."""
    programs: list[Any] = [compiler.call(0, 1, number) for number in range(len(phase.cycle))]
    return devices * sum(program.cost_analysis()['flops'] for program in programs) / len(programs)


if __name__ == '__main__':
    app.run(main)
