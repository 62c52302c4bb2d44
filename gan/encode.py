"""`python -m gan.encode --workdir=DIR --out=DIR2 [PATH...]` writes codes of real images, where a run finds them.

Of BiGAN: codes, reconstructions and an anomaly score. Of an adversarial autoencoder: codes, reconstructions and
classes. Of InfoGAN: the categories and codes that it believes an image was drawn from. codes.csv and codes.npz
have a row for each image: of a split in stored order, or of files and folders where some are named.
"""

if __name__ == '__main__':  # before the imports below, which take seconds
    from foundation.training.interrupts import end_in_one_line

    end_in_one_line()

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
from absl import flags

import input_pipeline
from foundation.training import launch
from foundation.training.errors import UserError
from gan.codes import anomaly_scores, encode_images, summarize, write_codes
from gan.generation.folder import check_out
from gan.generator import check_checkpoint, restore_state
from gan.reconstructions import ReconstructionWriter
from gan.sources import SourceImages, open_source

_OUT = flags.DEFINE_string('out', None, 'New folder to write to.', required=True)
_DATA = flags.DEFINE_string('data', None, "Prepared data set; by default the run's own.")
_SPLIT = flags.DEFINE_string('split', 'test', 'Of the data set: train, validation or test.')
_CLASSES = flags.DEFINE_list(
    'classes', None, 'Of the data set: only these, or `all`; by default those that the run was trained on.'
)
_PIXEL_SHARE = flags.DEFINE_float(
    'pixel_share', 0.9, 'Share of the pixels in the anomaly score; the rest is of features.', 0.0, 1.0
)
_BATCH = flags.DEFINE_integer('batch_size', 128, 'Images at a time.', 1, 65_536)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
_RECONSTRUCTIONS = flags.DEFINE_string(
    'reconstructions',
    '',
    'New folder for images of the split as the run draws them again, for detect.prepare.',
)
flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Restores the networks, encodes the images and writes what was found."""
    workdir, out = launch.workdir(), Path(_OUT.value)
    launch.start_jax()
    if jax.process_count() > 1:
        raise UserError('gan.encode runs on one process; leave --distributed and --coordinator out.')
    check_checkpoint(_STEP.value, best=_BEST.value)
    check_out(out)
    run = restore_state(workdir, _STEP.value, best=_BEST.value)
    if argv[1:] and run.image_format.mask_classes:
        raise UserError('This run encodes masks beside its images, and files have none; name a prepared data set.')
    source = open_source(
        run.recipe,
        run.facts,
        run.stage.resolution,
        paths=[Path(path) for path in argv[1:]],
        data=_DATA.value,
        split=_SPLIT.value,
        classes=_CLASSES.value,
    )
    with _open_writer(source) as writer:
        images = encode_images(run, source, _BATCH.value, None if writer is None else writer.add)
    scores = anomaly_scores(images.coded, _PIXEL_SHARE.value) if 'feature_distances' in images.coded else None
    classes = run.facts.classes if run.image_format.num_classes else ()
    summary = summarize(images, classes)
    write_codes(out, images, scores, summary)
    told = ', '.join(f'{name} {value:.4g}' for name, value in summary.items())
    for note in source.notes:
        print(f'Note: {note}')
    print(f'{source.name}: {told}.')
    print(f'Codes: {out / "codes.csv"}, {out / "codes.npz"}')
    print('They tell of real images: treat them as you treat these.')


@contextlib.contextmanager
def _open_writer(source: SourceImages) -> Iterator[ReconstructionWriter | None]:
    """What writes reconstructions; the folder is whole or absent. None where nobody asks for them."""
    if not _RECONSTRUCTIONS.value:
        yield None
        return
    if source.images is None:
        raise UserError('--reconstructions tells whose images are drawn again, and files do not; name --data.')
    with input_pipeline.complete_folder(Path(_RECONSTRUCTIONS.value).absolute(), overwrite=False) as folder:
        writer = ReconstructionWriter(folder, source.images, _SPLIT.value)
        yield writer
        writer.finish()


if __name__ == '__main__':
    launch.run_command(
        main, packages=('gan', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
