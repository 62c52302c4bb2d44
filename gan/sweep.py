"""`python -m gan.sweep --workdir=DIR --extractor=CLASSIFIER_DIR` measures a generator over what it can be set to.

Truncation (of styles, or of normal latents), the strokes of GRAN, the levels of LAPGAN: Frechet distance,
precision, recall, density and coverage of each, with 95% intervals, beside held-out real images. `--paths` adds
how fast features change between latents and between styles (perceptual path length). Writes sweep.json, sweep.png.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

import input_pipeline
from foundation.training import launch
from foundation.training import workdir as workdirs
from gan.evaluation.evaluation import GeneratorProtocol
from gan.evaluation.extractors import RANDOM, create_extractor
from gan.evaluation.report import check_folder
from gan.evaluation.sweep import (
    FOLDER,
    PICTURE,
    SweepRequest,
    describe_sweep,
    draw_sweep,
    measure_sweep,
    read_truncation,
)
from gan.generator import check_checkpoint
from gan.standing import BATCHES
from gan.weights import check_apart

_EXTRACTOR = flags.DEFINE_string(
    'extractor',
    RANDOM,
    f'Workdir of backbones.main, KIND=FILE with weights (inception, ...), or {RANDOM}.',
)
_TRUNCATIONS = flags.DEFINE_list('truncations', [], 'To be tried, as 0.5,1,2,inf; by default some that suit.')
_STANDING = flags.DEFINE_integer(
    'standing',
    None,
    'Batches over which batch normalization is measured anew for each setting; 0 keeps it. By default '
    f'{BATCHES} for truncation, and 0 else.',
    0,
    10_000,
)
_PATHS = flags.DEFINE_integer('paths', 0, 'Paths whose length is measured; 0 none.', 0, 1_000_000)
_NUM = flags.DEFINE_integer('num', 5_000, 'Generated images of each setting.', 2, 10_000_000)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the generated images and of paths.', 0, 2**32 - 1)
_REFERENCE = flags.DEFINE_string('reference', 'train', 'Split of real images to compare with.')
_HELD_OUT = flags.DEFINE_string('held_out', 'test', 'Split that training has not seen, for the floor.')
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
_BATCH = flags.DEFINE_integer('batch_size', 128, 'Images at a time.', 1, 65_536)
_OUT = flags.DEFINE_string('out', None, 'Folder for the numbers and the picture; by default WORKDIR/sweep.')
flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Measures each setting and tells."""
    launch.reject_arguments(argv)
    workdir = launch.workdir()
    launch.start_jax_alone('gan.sweep')
    check_checkpoint(_STEP.value, best=_BEST.value)
    out = Path(_OUT.value) if _OUT.value else workdir / FOLDER
    check_apart(workdir, out)
    check_folder(out)
    protocol = GeneratorProtocol(
        count=_NUM.value,
        seed=_SEED.value,
        reference=_REFERENCE.value,
        held_out=_HELD_OUT.value,
        step=_STEP.value,
        best=_BEST.value,
        batch_size=_BATCH.value,
        segmenter=None,
    )
    request = SweepRequest(tuple(map(read_truncation, _TRUNCATIONS.value)), _STANDING.value, _PATHS.value)
    extractor = create_extractor(_EXTRACTOR.value)
    if request.paths:
        extractor.check_network('--paths')
    report = measure_sweep(workdir, extractor, protocol, request)
    out.mkdir(parents=True, exist_ok=True)
    draw_sweep(report, out / PICTURE)
    workdirs.write_json(out / 'sweep.json', report)
    for line in describe_sweep(report):
        print(line)
    print(f'Numbers: {out / "sweep.json"}   picture: {out / PICTURE}')


if __name__ == '__main__':
    launch.run_command(
        main, packages=('gan', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
