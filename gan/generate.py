"""`python -m gan.generate --workdir=DIR --num=N --out=DIR2 --seed=S` writes images from a trained generator."""

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

from gan.generation import write_images
from gan.restoring import TrainedGenerator, restore_generator
from training import launch
from training.errors import UserError

_NUM = flags.DEFINE_integer('num', None, 'Images to write.', lower_bound=1, required=True)
_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_SEED = flags.DEFINE_integer('seed', 0, 'Same seed, same images.', lower_bound=0)
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images drawn at once.', lower_bound=1)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
_LABEL = flags.DEFINE_string('label', None, 'Draw this class only (conditional generators).')


def main(argv: Sequence[str]) -> None:
    """Restores the averaged weights and writes the images."""
    launch.reject_arguments(argv)
    workdir, out = launch.workdir(), Path(_OUT.value)
    launch.start_jax()
    if jax.process_count() > 1:
        raise UserError('gan.generate runs on one process; leave --distributed and --coordinator out.')
    if _BEST.value and _STEP.value is not None:
        raise UserError('--best and --step name two checkpoints; leave one of them out.')
    trained = restore_generator(workdir, _STEP.value, best=_BEST.value)
    label = _find_label(trained, _LABEL.value)
    write_images(trained, out, _NUM.value, seed=_SEED.value, batch_size=_BATCH.value, label=label)
    print(f'{_NUM.value} images from step {trained.position.step} of {workdir}: {out}/index.csv')
    print('These images were not checked for resemblance to training patients; look before you share them.')


def _find_label(trained: TrainedGenerator, name: str | None) -> int | None:
    if name is None:
        return None
    if not trained.image_format.num_classes:
        raise UserError(f'--label={name}: this generator was trained without classes; leave --label out.')
    if name not in trained.facts.classes:
        raise UserError(f'--label={name} is unknown; choose one of {", ".join(trained.facts.classes)}.')
    return trained.facts.classes.index(name)


if __name__ == '__main__':
    launch.run_command(main, packages=('gan',), user_errors=())
