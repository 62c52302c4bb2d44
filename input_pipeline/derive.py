"""A new data set out of prepared ones, for studies: `python -m input_pipeline.derive --help`."""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from input_pipeline import command
from input_pipeline.dataset.builder import Target
from input_pipeline.dataset.catalogue import default_data_dir, place_of
from input_pipeline.dataset.derivation import Derivation, derive_dataset
from input_pipeline.flags import Parser, count
from input_pipeline.report import describe


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 1 for bad input, 130 when interrupted.

    Args:
      arguments: flags without the program's name; None for those of the process.
    """
    options = _parse(arguments)
    return command.run('derive', functools.partial(_derive, options), place_of(options.name, options.data_dir))


def _derive(options: argparse.Namespace) -> None:
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(Derivation)}
    data_dir = options.data_dir or default_data_dir()
    target = Target(options.name, data_dir, options.overwrite)
    print(describe(derive_dataset(Derivation(**fields), data_dir, target), target.folder))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog='derive',
        description='A data set with fewer training patients, smaller images, or images of another set added. '
        'Validation and test patients stay those of the source.',
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--source', required=True, help='name of the prepared data set')
    add('--name', required=True, help='name of the new data set')
    add('--data_dir', type=Path, help='folder of all data sets; $TFDS_DATA_DIR or ~/tensorflow_datasets')
    add('--overwrite', action='store_true', help='replace a data set of this name')
    add('--train_fraction', type=float, default=1.0, help='share of the training patients to keep')
    add('--block', type=int, default=0, help='where no patient is known: consecutive images that count as one')
    add('--seed', type=int, default=0, help='decides which patients; smaller shares are parts of larger ones')
    add('--resolution', type=int, default=0, help='makes images square with so many pixels a side; 0 does not')
    add('--repeat', type=count, default=1, help='how often each training image is there')
    add('--added', default='', help='data set whose training images are added, as patients of their own')
    add('--added_ratio', type=float, default=0.0, help='added images for each training image')
    add('--added_only', action='store_true', help='train on the added images alone')
    add('--shuffle_masks', action='store_true', help="give the added images each other's masks (a control)")
    add('--licence', default='', help='of the new set; that of the source where it is not given')
    options, unknown = parser.parse_known_args(arguments)
    parser.refuse_unknown(unknown)
    return options


if __name__ == '__main__':
    sys.exit(main())
