"""`python -m gan.export --workdir=DIR --out=DIR2` writes a trained generator alone, to be passed on.

`gan.generate`, `gan.evaluate`, `gan.report`, `gan.sweep` and `gan.project` take the folder as --workdir, and
training as config.start_from.workdir. `python DIR2/sample.py` draws from it without this software. It holds
averaged weights, config, programs of `jax.export`, a model card and checksums; no images, optimiser,
discriminator or folder of this machine.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

import input_pipeline
from foundation.training import launch
from foundation.training.errors import UserError
from gan.exports.folder import write_generator
from gan.generation.folder import check_out
from gan.generator import TrainedGenerator, check_checkpoint
from gan.reporting.runs import read_runs
from gan.weights import DTYPES, is_exported

_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_DTYPE = flags.DEFINE_enum(
    'dtype', 'float32', DTYPES, 'Of the parameters: as they are, or bfloat16, half as large and rounded.'
)
_BATCH = flags.DEFINE_integer(
    'batch_size', 64, 'Images that the programs draw at once; --batch_size of gan.generate.', 1, 65_536
)
_LICENCE = flags.DEFINE_string('licence', '', 'Of the weights, like CC-BY-4.0; kept in the model card.')
_RELEASE = flags.DEFINE_string(
    'release', None, 'Folder that gan.generate wrote with these weights: its verdict goes into the model card.'
)
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
    described = write_generator(
        out,
        trained,
        read_runs([workdir])[0],
        dtype=_DTYPE.value,
        batch_size=_BATCH.value,
        licence=_LICENCE.value,
        release=Path(_RELEASE.value) if _RELEASE.value else None,
    )
    count, size = len(described.shards), sum(shard.bytes for shard in described.shards) / 1e6
    print(
        f'Generator of step {trained.position.step} of {workdir}: {out}, {size:.1f} MB of weights in {count} files'
    )
    print('A generator may draw what it saw: pass it on as you would pass on its training data.')
    print(f'Next: {launch.python()} -m gan.generate --workdir={out} --num=1000 --out=release')
    print(f'Or, with JAX alone: python {out / "sample.py"} --out=drawn   and read {out / "MODEL_CARD.md"}')


if __name__ == '__main__':
    launch.run_command(main, packages=('gan',), user_errors=(input_pipeline.DataError,))
