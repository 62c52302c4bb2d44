"""`python -m gan.export --workdir=DIR --out=DIR2` writes a trained generator alone, to be passed on.

`gan.generate` and `gan.evaluate` take the folder as --workdir. It holds averaged weights, config and checksums; no
images, optimiser, discriminator or folder of this machine.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from foundation.training import launch
from foundation.training.errors import UserError
from gan.generation.folder import check_out
from gan.generator import TrainedGenerator, check_checkpoint
from gan.weights import DTYPES, is_exported, write_exported

_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_DTYPE = flags.DEFINE_enum('dtype', 'bfloat16', DTYPES, 'Of the parameters; bfloat16 takes half the space.')
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Restores the averaged weights and writes them."""
    launch.reject_arguments(argv)
    workdir, out = launch.workdir(), Path(_OUT.value)
    launch.start_jax()
    check_checkpoint(_STEP.value, best=_BEST.value)
    if is_exported(workdir):
        raise UserError(f'{workdir} is an exported generator already; copy the folder.')
    check_out(out)
    trained = TrainedGenerator.load(workdir, _STEP.value, best=_BEST.value)
    described = write_exported(
        out,
        trained.recipe,
        trained.facts,
        trained.position,
        trained.weights.variables,
        dtype=_DTYPE.value,
        overwrite=out.exists(),  # empty, or it would have been refused
    )
    count, size = len(described.shards), sum(shard.bytes for shard in described.shards) / 1e6
    print(
        f'Generator of step {trained.position.step} of {workdir}: {out}, {size:.1f} MB of weights in {count} files'
    )
    print('A generator may draw what it saw: pass it on as you would pass on its training data.')
    print(f'Next: {launch.python()} -m gan.generate --workdir={out} --num=1000 --out=release')


if __name__ == '__main__':
    launch.run_command(main, packages=('gan',), user_errors=())
