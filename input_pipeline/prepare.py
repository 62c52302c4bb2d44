"""Turns a folder of files into a data set: `python -m input_pipeline.prepare --help`."""

import argparse
import functools
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.export.manifest import DERIVED
from foundation.export.verification import read_whole
from foundation.training.errors import UserError
from input_pipeline import command, flags
from input_pipeline.advice import advise
from input_pipeline.dataset.builder import Target, WriteOptions, write_dataset
from input_pipeline.dataset.catalogue import find_data_dir, place_of, prepare_catalogue, prepare_phantom
from input_pipeline.dataset.content import find_content
from input_pipeline.dataset.pseudonyms import CLEAR, PRIVATE_FILE, Pseudonyms
from input_pipeline.dataset.splits import SplitFractions
from input_pipeline.dataset.user_key import load_key
from input_pipeline.errors import DataError, Refusals
from input_pipeline.identification.declaration import DeclaredSample, describe_likeness, require_kind
from input_pipeline.identification.exemplars import load_exemplars
from input_pipeline.phantom import ContrastOptions, PhantomOptions, scan_contrasts
from input_pipeline.readers import READERS
from input_pipeline.records import ReaderOptions
from input_pipeline.report import describe


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 1 for bad input, 130 when interrupted.

    Args:
      arguments: flags without the program's name; None for those of the process.
    """
    options = flags.parse(arguments)
    logging.basicConfig(format='%(message)s')
    logging.getLogger('input_pipeline').setLevel(logging.INFO)
    folder = None if options.source == 'catalogue' else place_of(options.name, options.data_dir)
    begin = time.monotonic()
    status = command.run('prepare', functools.partial(_prepare, options), folder)
    if not status:
        print(f'Prepared in {time.monotonic() - begin:.1f} s.\n')
        content = find_content(options.name, options.data_dir)
        if content is not None:
            print(advise(options.name, options.data_dir, content))
    return status


def _prepare(options: argparse.Namespace) -> None:
    """Dispatches on the source and prints the closing summary."""
    target = Target(options.name, find_data_dir(options.data_dir), options.overwrite)
    if options.source == 'catalogue':
        for split, count in prepare_catalogue(target).items():
            print(f'{split:<12}{count:>10} images')
        return
    target.check_free()
    names = CLEAR if options.path is None else Pseudonyms(load_key(options.key), [options.path])
    write = WriteOptions(
        SplitFractions(options.validation_fraction, options.test_fraction, options.stratify),
        options.channels,
        options.percentiles,
        _recorded(options, names),
        options.licence,
    )
    if options.source == 'phantom':
        fields = ('count', 'size', 'modalities', 'seed', 'images_per_patient')
        phantom = PhantomOptions(**{field: getattr(options, field) for field in fields})
        print(describe(prepare_phantom(target, phantom, write), target.folder))
    elif options.source == 'contrasts':
        own = ('count', 'size', 'contrasts', 'prevalence', 'seed', 'images_per_patient', 'classes')
        heads = scan_contrasts(ContrastOptions(**{field: getattr(options, field) for field in own}))
        print(describe(write_dataset(heads, target, write, Refusals(skip=False)), target.folder))
    else:
        print(_prepare_files(options, target, write, names))


def _prepare_files(options: argparse.Namespace, target: Target, write: WriteOptions, names: Pseudonyms) -> str:
    """Prepares files; returns the text of the summary, with what the images look like if that was asked."""
    exemplars = load_exemplars(options.exemplars) if options.exemplars else None
    if exemplars is not None:
        require_kind(exemplars, options.kind)
    reader = ReaderOptions(
        modality=options.modality,
        percentiles=options.percentiles,
        pixel_limit=options.pixel_limit,
        axis=options.axis,
        patient_pattern=options.patient_pattern,
        mask_threshold=options.mask_threshold,
        columns=options.columns,
        keep_label_maps=options.keep_label_maps,
    )
    refusals, sample = Refusals(skip=options.on_error == 'skip'), DeclaredSample()
    print(f'Looking through {options.path} ...', flush=True)
    _check_release(options.path, refusals)
    items = names.hide(READERS[options.source](options.path, reader, refusals))
    summary = write_dataset(items if exemplars is None else sample.tap(items), target, write, refusals, names)
    text = names.reveal(describe(summary | {'refused': refusals.reasons, 'notes': refusals.notes}, target.folder))
    text += (
        f'\nprivate     {target.folder / PRIVATE_FILE} tells which name is which pseudonym: keep it to yourself'
    )
    return text if exemplars is None else f'{text}\n{describe_likeness(exemplars, sample.pictures, options.kind)}'


def _check_release(path: Path, refusals: Refusals) -> None:
    """Refuses images of this software that are not as they were written, and notes where they show patients.

    The manifest lies in their folder, or in the one above; other folders have none.
    """
    try:
        manifests = [read_whole(folder) for folder in (path, path.absolute().parent)]
    except UserError as error:
        raise DataError(str(error)) from error
    if any(manifest is not None and manifest['synthetic'] == DERIVED for manifest in manifests):
        refusals.note(f'All of this is {DERIVED}: it shows the anatomy of those who are in it.')


def _recorded(options: argparse.Namespace, names: Pseudonyms) -> dict[str, Any]:
    """Flags kept in the summary, so that a set can be prepared again; where files lay stays private."""
    apart = ('data_dir', 'overwrite', 'licence', 'key')
    values = {name: value for name, value in vars(options).items() if name not in apart}
    hidden = {name: names.of(value.name) for name, value in values.items() if isinstance(value, Path)}
    # A pattern is made of pieces of the names that it matches.
    return values | hidden | {'patient_pattern': names.of(options.patient_pattern)}


if __name__ == '__main__':
    sys.exit(main())
