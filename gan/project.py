"""`python -m gan.project --workdir=DIR --out=DIR2 [PATH...]` finds the styles that real images are drawn from.

From the mean style on, Adam makes the distance in pixels and in features small (Karras et al. 2020, appendix D);
noise stays what all images share. PATHs are pictures, DICOM files, volumes or folders of them; without any, images
of a split are taken. Writes projected.npz (styles, distances), projected.csv and projected.png.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

import input_pipeline
from foundation.training import launch
from gan.evaluation.extractors import RANDOM, create_extractor
from gan.generation.folder import check_out
from gan.generator import TrainedGenerator, check_checkpoint
from gan.projection import ProjectionOptions, check_styles, project_images, write_projected
from gan.sources import open_source
from gan.weights import check_apart

_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_EXTRACTOR = flags.DEFINE_string(
    'extractor',
    RANDOM,
    f'Workdir of backbones.main, KIND=FILE with weights (inception, ...), or {RANDOM}.',
)
_NUM = flags.DEFINE_integer('num', 32, 'Images at most, evenly from all.', 1, 100_000)
_STEPS = flags.DEFINE_integer('steps', 500, 'Of Adam, for each image.', 1, 1_000_000)
_RATE = flags.DEFINE_float('learning_rate', 0.1, 'At the start; it falls to 0.', 0.0, 100.0)
_WEIGHT = flags.DEFINE_float('feature_weight', 1.0, 'Of the distance in features beside that in pixels.', 0.0, 1e6)
_DATA = flags.DEFINE_string('data', None, "Prepared data set; by default the run's own.")
_SPLIT = flags.DEFINE_string('split', 'test', 'Of the data set: train, validation or test.')
_CLASSES = flags.DEFINE_list(
    'classes', None, 'Of the data set: only these, or `all`; by default those that the run was trained on.'
)
_BATCH = flags.DEFINE_integer('batch_size', 16, 'Images at a time.', 1, 65_536)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Restores the generator, projects the images and writes what was found."""
    workdir, out = launch.workdir(), Path(_OUT.value)
    launch.start_jax_alone('gan.project')
    check_checkpoint(_STEP.value, best=_BEST.value)
    check_apart(workdir, out)
    check_out(out)
    trained = TrainedGenerator.load(workdir, _STEP.value, best=_BEST.value)
    check_styles(trained)
    extractor = create_extractor(_EXTRACTOR.value)
    extractor.check_channels(trained.image_format.channels)
    extractor.check_network('A projection')
    source = open_source(
        trained.recipe,
        trained.facts,
        trained.network.resolution,
        paths=[Path(path) for path in argv[1:]],
        data=_DATA.value,
        split=_SPLIT.value,
        classes=_CLASSES.value,
    ).evenly(_NUM.value)
    options = ProjectionOptions(_STEPS.value, _RATE.value, _WEIGHT.value)
    batch_size = min(_BATCH.value, len(source))
    found, images = project_images(trained, extractor, source, options, batch_size=batch_size)
    write_projected(out, found, images, source.keys, trained.image_format)
    for note in source.notes:
        print(f'Note: {note}')
    before, after = found.start_pixel_distances.mean(), found.pixel_distances.mean()
    print(
        f'{len(source)} images of {source.name}: root mean square difference {before:.4f} at the mean style, '
        f'{after:.4f} projected; in features {found.feature_distances.mean():.4f}.'
    )
    print(f'Styles: {out / "projected.npz"}   pictures: {out / "projected.png"}')
    print('They tell of real images: treat them as you treat these.')


if __name__ == '__main__':
    launch.run_command(
        main, packages=('gan', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
