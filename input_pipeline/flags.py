"""The command line of `python -m input_pipeline.prepare`."""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from input_pipeline.phantom.contrasts import CLASSES
from input_pipeline.records import PERCENTILES, PIXEL_LIMIT

SOURCES = ('image_folder', 'paired_folder', 'dicom', 'nifti', 'arrays', 'phantom', 'contrasts', 'catalogue')
DRAWN = ('phantom', 'contrasts')  # without files
COLUMNS = ('image', 'mask', 'label', 'patient', 'split')
_DESCRIPTION = """Turns a folder of medical images into a data set that training reads.

The data set is split into train, validation and test by patient; folders or an index.csv that name splits win.
"""


class Parser(argparse.ArgumentParser):
    """Exits with 1 and one sentence, and knows what a mistyped flag was meant to be."""

    def __init__(
        self,
        prog: str,
        description: str,
        form: type[argparse.HelpFormatter] = argparse.ArgumentDefaultsHelpFormatter,
    ) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, formatter_class=form)

    def error(self, message: str) -> NoReturn:
        sys.exit(f'{self.prog}: {message}; --help explains the flags.')

    def read(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Reads the flags, None for those of the process; names the nearest to one that is not known."""
        options, unknown = self.parse_known_args(arguments)
        if unknown:  # argparse itself only repeats it
            flag = unknown[0].split('=')[0]
            close = difflib.get_close_matches(flag, self._option_string_actions, n=1, cutoff=0.5)
            self.error(f'unknown argument {flag}' + (f', did you mean {close[0]}?' if close else ''))
        return options


def _pair(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(','))
    if not 0 <= low < high <= 100:
        raise ValueError(text)
    return low, high


_pair.__name__ = 'pair of percentiles like 0.5,99.5'  # argparse puts it into its message


def names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(',') if name)


def count(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


count.__name__ = 'count of at least 1'


def share(text: str) -> float:
    if not 0 < float(text) <= 1:
        raise ValueError(text)
    return float(text)


share.__name__ = 'share above 0, up to 1'


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the flags; exits with status 1 where they are wrong.

    Args:
      arguments: without the program's name; None for those of the process.
    """
    parser = Parser('prepare', _DESCRIPTION)
    _add_general(parser)
    _add_reading(parser.add_argument_group('reading files'))
    _add_phantom(parser.add_argument_group('phantom, contrasts: drawn images, no files needed'))
    options = parser.read(arguments)
    if options.source in (*DRAWN, 'catalogue'):
        if options.path is not None:
            parser.error(f'--source={options.source} takes no --path')
        if options.exemplars is not None:
            parser.error(f'--source={options.source} takes no --exemplars')
        if options.key is not None:
            parser.error(f'--source={options.source} takes no --key, as it has no names of others')
        if options.licence and options.source == 'catalogue':
            parser.error('--source=catalogue takes no --licence; the catalogue tells it')
    elif options.path is None:
        parser.error(f'--source={options.source} needs --path')
    if options.columns and options.source != 'paired_folder':
        parser.error('--columns is of use only with --source=paired_folder')
    if options.mask_threshold is not None and options.source not in ('paired_folder', 'nifti', 'arrays'):
        parser.error(f'--source={options.source} reads no masks, so --mask_threshold is of no use')
    if options.kind and options.exemplars is None:
        parser.error('--kind needs --exemplars=FILE, made with python -m input_pipeline.identify --build=FILE')
    return options


def columns(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [tuple(pair.split('=', 1)) for pair in text.split(',') if pair]
    if any(len(pair) != 2 or pair[0] not in COLUMNS or not pair[1] for pair in pairs):
        raise ValueError(text)
    return tuple((role, name) for role, name in pairs)


columns.__name__ = f'mapping like image=FileName,mask=Segmentation (of {", ".join(COLUMNS)})'


def add_key(add: Callable[..., Any]) -> None:
    """The flag of all commands that read files of others."""
    add(
        '--key',
        type=Path,
        metavar='FILE',
        help='secret that decides the pseudonyms of names of files and patients; $ENHANCED_GAN_KEY, or your own, '
        'made at first use',
    )


def _add_general(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--source', required=True, choices=SOURCES, help='what kind of data it is')
    add('--path', type=Path, help='the folder of files (for arrays also one .npz or .npy file)')
    add('--name', required=True, help='name of the new data set; for --source=catalogue the name there')
    add('--data_dir', type=Path, help='folder of all data sets; $TFDS_DATA_DIR or ~/tensorflow_datasets')
    add('--overwrite', action='store_true', help='replace a data set of this name')
    add(
        '--on_error',
        choices=('fail', 'skip'),
        default='fail',
        help='fail: stop at the first unusable file; skip: leave such files out and list them',
    )
    add_key(add)
    add('--licence', default='', help='of the images, like CC-BY-4.0; kept for the cards of models')
    share = 'share of patients whose split nothing names, for '
    add('--validation_fraction', type=float, default=0.1, help=share + 'validation')
    add('--test_fraction', type=float, default=0.1, help=share + 'test')
    add(
        '--stratify',
        action='store_true',
        help='give each class its shares; patients may then change their split when others are added',
    )


def _add_reading(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--modality', default='', help='CT, MR, DX, ... where the files do not say; stored with every image')
    add('--axis', type=int, choices=(0, 1, 2), default=2, help='volumes are cut along it (RAS+ order)')
    add(
        '--patient_pattern',
        default='',
        help=r'regular expression whose first group, searched in the path, is the patient, like "(p\d+)_"',
    )
    add(
        '--mask_threshold',
        type=float,
        metavar='VALUE',
        help='pixels of masks above it are class 1, all others background; for smoothed masks, and for masks that '
        'number objects; without it masks hold class ids',
    )
    add(
        '--keep_label_maps',
        action='store_true',
        help='keep images of few values in patches, which look like masks of the images beside them',
    )
    add(
        '--columns',
        type=columns,
        default=(),
        metavar='ROLE=NAME,...',
        help='which columns of an index.csv of others are image, mask, label, patient and split',
    )
    _add_values(group)


def _add_values(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--percentiles', type=_pair, default=PERCENTILES, help='lower and upper, for intensity windows')
    add(
        '--pixel_limit',
        type=count,
        default=PIXEL_LIMIT,
        help='larger pictures, and volumes of four times as many voxels, are refused before decoding',
    )
    add('--channels', type=count, help='channels to store; the most frequent count where not given')
    add(
        '--exemplars',
        type=Path,
        metavar='FILE',
        help='say what the images look like, and warn where they do not look like --kind or their modality; '
        'the file is made with: python -m input_pipeline.identify --build=FILE',
    )
    add('--kind', default='', help='the kind of pictures it should be, one of those in --exemplars')


def _shares(text: str) -> tuple[float, ...]:
    return tuple(float(share) for share in text.split(','))


_shares.__name__ = 'shares like 0.2,0.8'


def _add_phantom(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--count', type=count, default=2000, help='images; of contrasts, of each')
    add('--size', type=count, default=128, help='pixels of each side')
    add('--modalities', type=names, default=('CT', 'MR', 'DX'), help='of CT, MR, DX, separated by commas')
    add('--contrasts', type=names, default=('CT', 'T1', 'T2'), help='of the same heads: of CT, T1, T2')
    add(
        '--prevalence',
        type=_shares,
        default=(0.5,),
        help='share of the patients with a tumour: of all contrasts, or of each',
    )
    add(
        '--classes',
        choices=CLASSES,
        default='lesion',
        help='of contrasts: lesion, the contrast and whether there is a tumour; contrast, that alone',
    )
    add('--seed', type=int, default=0, help='decides every pixel')
    add('--images_per_patient', type=count, default=4, help='slices or exposures of each patient')
