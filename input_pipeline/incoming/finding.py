"""Finds pictures, DICOM series and NIfTI volumes among files and folders that a user names."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from input_pipeline.errors import DataError, Refusals
from input_pipeline.incoming.found import Incoming
from input_pipeline.incoming.grids import DicomGrid, NiftiGrid
from input_pipeline.incoming.loading import load_picture, load_series, load_volume
from input_pipeline.readers import dicom, dicom_file, nifti
from input_pipeline.readers.nifti_volume import open_volume
from input_pipeline.readers.pairing import stem
from input_pipeline.readers.paths import refusing, walk
from input_pipeline.readers.raster import EXTENSIONS
from input_pipeline.records import ReaderOptions


def find_incoming(paths: Sequence[Path], options: ReaderOptions, refusals: Refusals) -> list[Incoming]:
    """All that can be read of the paths, in the order of their names; DICOM files may have any name.

    Files of one DICOM series are one, wherever they lie; each multi-frame file, and files that differ in size or
    orientation, are one of their own. So is each volume along the fourth axis of a NIfTI file.

    Args:
      paths: files and folders; folders are searched to the bottom (see `readers.paths.walk`).
      options: how files are read; the same as the training data were prepared with.
      refusals: take all files that cannot be read, also later while others are loaded; must be skipping.
    """
    root, found = _list_files(paths, refusals)
    opened: list[Incoming] = []
    series: list[PurePosixPath] = []
    for relative in found:
        with refusing(relative, refusals):
            if relative.suffix.lower() in EXTENSIONS:
                opened.append(_create_picture(root, relative, options))
            elif nifti.is_nifti(relative):
                opened += _create_volumes(root, relative, options)
            elif dicom_file.is_dicom(root / relative):
                series.append(relative)
            else:
                formats = 'PNG, JPEG, TIFF, BMP, WebP, GIF, DICOM, NIfTI'
                raise DataError(f'is no image that can be read ({formats}){nifti.remedy(relative)}')
    slices = dicom.describe_files(root, series, options, refusals)
    opened += [_create_series(root, members, options, refusals) for members in dicom.group_volumes(slices)]
    return _with_own_names(sorted(opened, key=lambda incoming: incoming.name))


def _list_files(paths: Sequence[Path], refusals: Refusals) -> tuple[Path, list[PurePosixPath]]:
    """The folder that holds all, and the files relative to it, each once."""
    absolute = [Path(os.path.abspath(path)) for path in paths]
    folders = [path if path.is_dir() else path.parent for path in absolute]
    root = Path(os.path.commonpath(folders))
    found: dict[PurePosixPath, None] = {}
    for path in absolute:
        relative = PurePosixPath(path.relative_to(root).as_posix())
        if path.is_dir():
            below = Refusals(skip=True)
            found |= dict.fromkeys(relative / inner for inner in walk(path, below) if not _is_beside(path / inner))
            for name, reason in below.reasons.items():
                refusals.add(str(relative / name), reason)
        elif path.is_file():
            found[relative] = None
        else:
            refusals.add(str(relative), 'there is no such file or folder')
    return root, sorted(found)


def _is_beside(path: Path) -> bool:
    """Whether a file in a folder is no image of its own: an index of DICOM files, or the voxels of a header."""
    has_header = path.suffix.lower() == '.img' and path.with_suffix('.hdr').is_file()
    return path.name.upper() == 'DICOMDIR' or has_header


def _create_picture(root: Path, relative: PurePosixPath, options: ReaderOptions) -> Incoming:
    return Incoming(
        kind='raster',
        name=str(relative.with_suffix('')),
        source=str(relative),
        files=(root / relative,),
        grid=None,
        load=functools.partial(load_picture, root, relative, options),
    )


def _create_volumes(root: Path, relative: PurePosixPath, options: ReaderOptions) -> list[Incoming]:
    file, name = root / relative, str(relative.with_name(stem(relative)))
    volume = open_volume(file, options.pixel_limit)
    grid = NiftiGrid(
        file=file,
        shape=volume.stored.shape[:3] if volume.count > 1 else volume.file_shape,
        orientation=volume.orientation,
        axis=options.axis,
    )
    return [
        Incoming(
            kind='nifti',
            name=f'{name}_volume{index:04d}' if volume.count > 1 else name,
            source=str(relative),
            files=(file,),
            grid=grid,
            load=functools.partial(load_volume, root, relative, index, options),
        )
        for index in range(volume.count)
    ]


def _create_series(
    root: Path, members: tuple[dicom.Slice, ...], options: ReaderOptions, refusals: Refusals
) -> Incoming:
    """One volume of a series; alone in its file it is named as the file, else by its folder and a hash."""
    patient, series = members[0].patient, members[0].series
    keys = [f'{patient}/{series}/{number:05d}' for number in range(len(members))]
    frames = {
        dicom.frame_key(member, key, frame): (root / member.relative, frame)
        for key, member in zip(keys, members, strict=True)
        for frame in range(member.frames)
    }
    if len(members) == 1:
        source = members[0].relative
        name = source.with_suffix('') if source.suffix.lower() == '.dcm' else source
    else:
        folder = PurePosixPath(os.path.commonpath([member.relative.parent for member in members]) or '.')
        name = source = folder / f'series_{series}'
    return Incoming(
        kind='dicom',
        name=str(name),
        source=str(source),
        files=tuple(root / member.relative for member in members),
        grid=DicomGrid(frames),
        load=functools.partial(load_series, root, members, keys, options, refusals),
    )


def _with_own_names(opened: list[Incoming]) -> list[Incoming]:
    """Numbers names that come more than once, also on file systems that do not tell capitals apart."""
    taken: set[str] = set()
    named = []
    for incoming in opened:
        name, number = incoming.name, 1
        while name.casefold() in taken:
            number += 1
            name = f'{incoming.name}_{number}'
        taken.add(name.casefold())
        source = name if incoming.source == incoming.name else incoming.source
        named.append(dataclasses.replace(incoming, name=name, source=source))
    return named
