"""Data sets on disk by name: finding them, and preparing those that need no files of the user."""

import dataclasses
import difflib
import importlib.util
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from input_pipeline.dataset.builder import VERSION, Target, WriteOptions, write_dataset
from input_pipeline.dataset.splits import SplitFractions
from input_pipeline.dataset.summary import SUMMARY_FILE
from input_pipeline.errors import DataError, Refusals, first_line
from input_pipeline.phantom import PhantomOptions
from input_pipeline.phantom import scan as scan_phantom
from input_pipeline.records import PERCENTILES

_PART = re.compile(r'\w[\w.+-]*')
_VERSION = re.compile(r'\d+\.\d+\.\d+')
DEFAULT_FRACTIONS = SplitFractions(validation=0.1, test=0.1)


def find_data_dir(data_dir: Path | str | None) -> Path:
    """The folder of all data sets: the one that is named, or `$TFDS_DATA_DIR`, or `~/tensorflow_datasets`."""
    return Path(data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()


def place_of(name: str, data_dir: Path | None) -> Path:
    """Where `prepare` puts a data set of this name; without `data_dir` among all others."""
    return find_data_dir(data_dir) / name / VERSION


def nearest(name: str, known: Sequence[str]) -> str:
    """' Did you mean ...?' for names close to a mistyped one, or ''."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f' Did you mean {" or ".join(close)}?' if close else ''


def prepared_names(data_dir: Path) -> list[str]:
    """Names of the data sets in a folder."""
    if not data_dir.is_dir():
        return []
    return sorted(folder.name for folder in data_dir.iterdir() if _versions(folder))


def _versions(folder: Path) -> list[Path]:
    """Folders of complete versions, the newest last."""
    if not folder.is_dir():
        return []
    versions = [path for path in folder.iterdir() if _VERSION.fullmatch(path.name)]
    return sorted(versions, key=lambda path: tuple(map(int, path.name.split('.'))))


def dataset_folder(name: str, data_dir: Path) -> Path | None:
    """The newest version of a data set (`name`, or `name/config` of the catalogue), None where there is none.

    Raises:
      DataError: when the name could not be one.
    """
    if not all(_PART.fullmatch(part) for part in name.split('/')):
        raise DataError(f'{name!r} is not a name of a data set.')
    versions = _versions(data_dir / name)
    return versions[-1] if versions else None


def require_dataset(name: str, data_dir: Path) -> Path:
    """The folder of a data set that must be there.

    Raises:
      DataError: with the command that prepares it, and names that are near.
    """
    folder = dataset_folder(name, data_dir)
    if folder is None:
        raise DataError(
            f'there is no data set {name!r} in {data_dir}.{nearest(name, prepared_names(data_dir))} '
            'Prepare it with: python -m input_pipeline.prepare --source=image_folder --path=FOLDER '
            f'--name={name}'
        )
    return folder


def count_images(name: str, data_dir: Path, split: str) -> int:
    """Images in a split of a set that `prepare` or `derive` wrote.

    Raises:
      DataError: when there is no such set or split.
    """
    folder = require_dataset(name, data_dir)
    try:
        return int(json.loads((folder / SUMMARY_FILE).read_text(encoding='utf-8'))['splits'][split])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f'{folder}: its summary tells of no split {split!r}.') from error


def prepare_phantom(target: Target, phantom: PhantomOptions, options: WriteOptions) -> dict[str, Any]:
    """Draws the phantom and writes it; returns its summary."""
    recorded = {**options.recorded, 'phantom': phantom_settings(phantom)}
    return write_dataset(
        scan_phantom(phantom), target, dataclasses.replace(options, recorded=recorded), Refusals(skip=False)
    )


def phantom_settings(phantom: PhantomOptions) -> dict[str, Any]:
    """The options as JSON keeps them."""
    settings = dataclasses.asdict(phantom)
    return {field: list(value) if isinstance(value, tuple) else value for field, value in settings.items()}


def ensure_prepared(name: str, data_dir: Path | str | None, phantom: PhantomOptions) -> None:
    """Makes sure that a data set is there: draws phantoms where they are missing, asks for all others.

    Several processes may call it at once on one disk: each draws the same images, one of them is kept.

    Args:
      name: of the data set; it is drawn when it starts with 'phantom'.
      data_dir: folder of all data sets; None or '' for the default.
      phantom: what to draw.

    Raises:
      DataError: when another set is missing, or the phantoms there were drawn with other options.
    """
    root = find_data_dir(data_dir)
    if not name.startswith('phantom'):
        require_dataset(name, root)
        return
    target = Target(name, root, overwrite=False)
    if dataset_folder(name, root) is None:
        options = WriteOptions(DEFAULT_FRACTIONS, None, PERCENTILES, {'source': 'phantom'}, licence='')
        try:
            prepare_phantom(target, phantom, options)
        except DataError:
            if not target.folder.exists():  # else another process was faster
                raise
    _check_same_phantom(target, phantom)


def _check_same_phantom(target: Target, phantom: PhantomOptions) -> None:
    try:
        summary = json.loads((target.folder / SUMMARY_FILE).read_text(encoding='utf-8'))
        drawn = summary['options']['phantom']
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f'{target.folder}: no phantoms written by this program; use another name.') from error
    for field, wanted in phantom_settings(phantom).items():
        if drawn.get(field) != wanted:
            raise DataError(
                f'data set {target.name!r} was drawn with {field}={drawn.get(field)}, not {wanted}: give the '
                "config another data.name that starts with 'phantom', or prepare it again with --overwrite."
            )


def prepare_catalogue(target: Target) -> Mapping[str, int]:
    """Downloads and prepares a set of the TFDS catalogue, with TFDS's own progress bars.

    Returns:
      Images by split.

    Raises:
      DataError: without TensorFlow, for a name the catalogue has not, or when preparing fails.
    """
    if importlib.util.find_spec('tensorflow') is None:
        raise DataError(
            'preparing a set of the TFDS catalogue needs TensorFlow: pip install "enhanced-gan[catalogue]" '
            '(reading it afterwards does not).'
        )
    if dataset_folder(target.name, target.data_dir) is not None and not target.overwrite:
        raise DataError(f'{target.data_dir / target.name}: this data set exists already; --overwrite replaces it.')
    modes = tfds.GenerateMode
    mode = modes.REUSE_CACHE_IF_EXISTS if target.overwrite else modes.REUSE_DATASET_IF_EXISTS
    try:
        builder = tfds.builder(target.name, data_dir=target.data_dir, file_format='array_record')
    except tfds.core.DatasetNotFoundError as error:
        near = nearest(target.name, tfds.list_builders())
        raise DataError(f'the TFDS catalogue has no data set {target.name!r}.{near}') from error
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(download_mode=mode))
    except Exception as error:  # whatever a catalogue's own builder raises: network, disk, moved source
        raise DataError(f'{target.name}: TFDS could not prepare it ({first_line(error)}).') from error
    return {split: info.num_examples for split, info in builder.info.splits.items()}
