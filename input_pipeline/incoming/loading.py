"""Reads the pixels of what was found, all slices of it."""

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from input_pipeline.cases import Case
from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import dicom, nifti
from input_pipeline.readers.nifti_volume import open_volume
from input_pipeline.readers.paths import patient_finder, refusing
from input_pipeline.readers.pixels import create_record
from input_pipeline.readers.raster import read_picture
from input_pipeline.records import ReaderOptions, Record


def load_picture(root: Path, relative: PurePosixPath, options: ReaderOptions) -> Case:
    """One picture, upright as viewers show it, even where its file stores it turned (Exif orientation).

    Raises:
      DataError: it is truncated, damaged, too large, constant, or not finite.
    """
    name = str(relative)
    patient = patient_finder(options.patient_pattern)(name, name)
    values = read_picture(root / relative, options.pixel_limit)
    return Case(name, patient, (create_record(name, values, options, patient, None, None, name),))


def load_volume(root: Path, relative: PurePosixPath, index: int, options: ReaderOptions) -> Case:
    """One volume of a NIfTI file, every slice of it.

    Raises:
      DataError: it is truncated, damaged, constant, or not finite.
    """
    volume = open_volume(root / relative, options.pixel_limit)
    name = f'{relative}/{index:04d}' if volume.count > 1 else str(relative)
    patient = patient_finder(options.patient_pattern)(str(relative), nifti.case_name(relative, None))
    return Case(name, patient, tuple(nifti.cut(volume, index, name, patient, str(relative), options)))


def load_series(
    root: Path,
    members: tuple[dicom.Slice, ...],
    keys: Sequence[str],
    options: ReaderOptions,
    refusals: Refusals,
) -> Case:
    """One volume of a DICOM series, every frame of it, in the order of their positions.

    Args:
      root: folder of all files.
      members: the files, from first to last.
      keys: what the keys of the records of each begin with.
      options: percentiles and pixel limit.
      refusals: take files that cannot be read, where there are others.

    Raises:
      DataError: none can be read, or every pixel has the same value.
    """
    found = []
    for key, member in zip(keys, members, strict=True):
        with refusing(member.relative, refusals) if len(members) > 1 else contextlib.nullcontext():
            with warnings.catch_warnings():  # of breaches of the standard that pydicom copes with
                warnings.simplefilter('ignore', UserWarning)
                images = list(dicom.read_images(root, member, options))
            found += [(member, dicom.frame_key(member, key, f), *images[f]) for f in _in_order(member)]
    if not found:
        raise DataError('none of its images can be read')
    window = dicom.find_window((frame[2:] for frame in found), len(found), options.percentiles)
    if window is None:
        raise DataError('is constant: every pixel has the same value')
    records: list[Record] = [dicom.create_record(*frame, window) for frame in found]
    return Case(keys[0].rpartition('/')[0], members[0].patient, tuple(records))


def _in_order(member: dicom.Slice) -> list[int]:
    """Frames from first to last along the normal, as the file has them where positions are unknown."""
    if not member.frame_positions:
        return list(range(member.frames))
    return np.argsort(member.frame_positions, kind='stable').tolist()
