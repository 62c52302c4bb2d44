"""Files as they come in to be looked at by a trained network, with what is needed to answer in their geometry."""

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pydicom
from jaxtyping import Float, Num, Shaped

from foundation.export.manifest import content_checksum
from input_pipeline.cases import Case
from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import dicom, dicom_file, nifti
from input_pipeline.readers.dicom_volumes import Volume, find_volumes
from input_pipeline.readers.itk_volume import encode_like
from input_pipeline.readers.nifti import from_upright
from input_pipeline.readers.nifti_volume import Volume as VolumeFile
from input_pipeline.readers.nifti_volume import open_volume
from input_pipeline.readers.paired_folder import stem
from input_pipeline.readers.paths import describe_kinds, patient_finder, refusing, walk
from input_pipeline.readers.pixels import create_record
from input_pipeline.readers.raster import EXTENSIONS, read_picture
from input_pipeline.records import ReaderOptions, Record

_UNEVEN = 0.01  # of the distance between slices, that one of them may be off
Kind = Literal['raster', 'dicom', 'nifti', 'nrrd', 'metaimage']
# Of a header of NIfTI, what may name a patient.
_TEXTS = ('descrip', 'aux_file', 'intent_name', 'db_name')
_VOLUMES: dict[str, Kind] = {'.nrrd': 'nrrd', '.nhdr': 'nrrd', '.mha': 'metaimage', '.mhd': 'metaimage'}


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeGrid:
    """The voxels of one volume of a NIfTI, NRRD or MetaImage file.

    Attributes:
      file: the file.
      shape: of one volume on the file's own axes: that of the file, without its fourth axis where volumes are
        several.
      orientation: turns those axes to RAS+ (see nibabel.orientations).
      axis: of RAS+ along which the volume was cut.
    """

    file: Path
    shape: tuple[int, ...]
    orientation: Float[np.ndarray, '3 2']
    axis: int

    def restore(self, slices: Shaped[np.ndarray, 'slices height width']) -> Shaped[np.ndarray, '...']:
        """Slices as records show them, put back on the file's own axes."""
        turned = np.stack([from_upright(shown) for shown in slices], axis=self.axis)
        ras = np.array([[0, 1], [1, 1], [2, 1]])
        back = nib.orientations.ornt_transform(ras, self.orientation)
        return np.ascontiguousarray(nib.apply_orientation(turned, back)).reshape(self.shape)

    def encode(self, values: Num[np.ndarray, 'slices height width'], suffix: str) -> bytes:
        """A file of values, on these voxels of an NRRD or MetaImage file; see `encode_like`."""
        return encode_like(self.file, self.restore(values), suffix)

    def to_nifti(self, values: Num[np.ndarray, 'slices height width']) -> nib.Nifti1Image:
        """An image of values with the shape, affines and units of the file, to the bit where it is NIfTI."""
        if self.file.suffix.lower() in _VOLUMES:
            return nib.Nifti1Image.from_bytes(self.encode(values, '.nii'))
        source: Any = nib.load(self.file)  # nibabel types it as a file of any kind
        kind = nib.Nifti2Image if isinstance(source.header, nib.Nifti2Header) else nib.Nifti1Image
        header = kind.header_class.from_header(source.header)
        header.extensions.clear()
        for field in _TEXTS:
            if field in header:  # NIfTI-2 has fewer
                header[field] = b''
        header['cal_min'] = header['cal_max'] = 0
        header.set_slope_inter(1, 0)
        header.set_data_dtype(values.dtype)
        return kind(self.restore(values), source.affine, header)


@dataclasses.dataclass(frozen=True, slots=True)
class DicomGrid:
    """The planes of a DICOM series.

    Attributes:
      frames: file, and number of the frame in it from 0, of each record by its key.
    """

    frames: Mapping[str, tuple[Path, int]]

    def files_of(self, keys: Sequence[str]) -> list[Path]:
        """The files of the records of these keys, in their order."""
        return list(dict.fromkeys(self.frames[key][0] for key in keys))

    def plane(self, key: str) -> Float[np.ndarray, '3 4'] | None:
        """Millimetres in LPS+ of a step along columns, rows, slices, and of the first pixel; None if unknown."""
        path, frame = self.frames[key]
        try:
            return _plane(read_header(path), frame)
        except DataError:
            return None

    def affine(self, keys: Sequence[str]) -> Float[np.ndarray, '4 4']:
        """Millimetres in RAS+ of voxel (column, row, slice) when the records of these keys are stacked.

        DICOM's own axes run to the left and to the back (LPS+), so that two rows change their sign (PS3.3,
        equation C.7.6.2.1-1).

        Raises:
          DataError: position, orientation or spacing is unknown, or slices are not evenly spaced.
        """
        headers = {path: read_header(path) for path in self.files_of(keys)}
        planes = [_plane(headers[path], frame) for path, frame in (self.frames[key] for key in keys)]
        positions = np.array([plane[:, 3] for plane in planes])
        affine = np.eye(4)
        affine[:3] = planes[0]
        if len(planes) > 1:
            step = (positions[-1] - positions[0]) / (len(planes) - 1)
            even = positions[0] + np.arange(len(planes))[:, None] * step
            length = float(np.linalg.norm(step))
            if length == 0 or np.linalg.norm(positions - even, axis=1).max() > _UNEVEN * length:
                raise DataError('its slices are not evenly spaced, so that they do not make up one volume')
            affine[:3, 2] = step
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def read_header(path: Path) -> pydicom.Dataset:
    """All elements of a file that was found to be an image, but its pixels; of a .gz, those of what it packs."""
    with dicom_file.unpacked(path) as whole, warnings.catch_warnings():  # of breaches that pydicom copes with
        warnings.simplefilter('ignore', UserWarning)
        return pydicom.dcmread(whole, force=True, stop_before_pixels=True)


def _plane(header: pydicom.Dataset, frame: int) -> Float[np.ndarray, '3 4']:
    """Millimetres in LPS+ of a step along columns, rows and slices, and of the first pixel."""
    orientation, position = dicom_file.orientation(header, frame), dicom_file.position(header, frame)
    rows, columns, between = dicom_file.millimetres(header)
    if not (orientation and position and rows and columns):
        raise DataError('its position, orientation or spacing in the patient is unknown')
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    return np.stack([along_row * columns, along_column * rows, normal * (between or 1.0), position], axis=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Incoming:
    """One picture, one DICOM series or one volume.

    Attributes:
      kind: of the files.
      name: for what is written about it, without extension, with `/` between folders; no two have the same.
      source: the file, or the name of a series of several, as refusals name it.
      files: all its files; of a series in the order of its slices, copies of a file behind it.
      grid: where its slices lie; None for pictures.
      copies: files that hold the same object as one of its files, by that file.
      load: reads the pixels as `input_pipeline.prepare` does, but constant slices are not left out. A file of a
        series that cannot be read is refused, and its slices are missing. Raises DataError when nothing is left.
    """

    kind: Kind
    name: str
    source: str
    files: tuple[Path, ...]
    grid: VolumeGrid | DicomGrid | None
    load: Callable[[], Case]
    copies: Mapping[Path, tuple[Path, ...]] = dataclasses.field(default_factory=dict)

    def files_of(self, case: Case) -> list[Path]:
        """The files that a loaded case was read from: all but those that were refused meanwhile."""
        if not isinstance(self.grid, DicomGrid):
            return list(self.files)
        read = self.grid.files_of([record.key for record in case.records])
        return [file for own in read for file in (own, *self.copies.get(own, ()))]


def load_picture(root: Path, relative: PurePosixPath, options: ReaderOptions) -> Case:
    """One picture, upright as viewers show it, even where its file stores it turned (Exif orientation).

    Raises:
      DataError: it is truncated, damaged, too large, constant, or not finite.
    """
    name = str(relative)
    patient = patient_finder(options.patient_pattern)(name, name)
    values = read_picture(root / relative, options.pixel_limit)
    return Case(name, patient, (create_record(name, values, options, patient, None, None, name),))


def load_volume(
    root: Path,
    relative: PurePosixPath,
    index: int,
    options: ReaderOptions,
    open_file: Callable[[Path, int], VolumeFile],
) -> Case:
    """One volume of a NIfTI, NRRD or MetaImage file, every slice of it.

    Args:
      root: folder of all files.
      relative: the file.
      index: of the volume along the fourth axis.
      options: how it is read.
      open_file: opens it, or hands out what it has open.

    Raises:
      DataError: it is truncated, damaged, constant, or not finite.
    """
    volume = open_file(root / relative, options.pixel_limit)
    name = f'{relative}/{index:04d}' if volume.count > 1 else str(relative)
    patient = patient_finder(options.patient_pattern)(str(relative), nifti.case_name(relative, None))
    return Case(name, patient, tuple(nifti.cut(volume, volume.read(index), name, patient, str(relative), options)))


def load_series(
    root: Path,
    members: Volume,
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
            found += [(member, dicom.frame_key(member, key, rank), image) for rank, image in enumerate(images)]
    if not found:
        raise DataError('none of its images can be read')
    window = dicom.find_window((image for *_, image in found), len(found), options.percentiles)
    if window is None:
        raise DataError('is constant: every pixel has the same value')
    records: list[Record] = [dicom.create_record(*image, window) for image in found]
    return Case(keys[0].rpartition('/')[0], members[0].patient, tuple(records))


def find_incoming(paths: Sequence[Path], options: ReaderOptions, refusals: Refusals) -> list[Incoming]:
    """All that can be read of the paths, in the order of their names; DICOM files may have any name.

    Files of one DICOM series are one, wherever they lie; each multi-frame file, and files that differ in size or
    orientation, are one of their own. So is each volume along the fourth axis of a NIfTI file.

    Args:
      paths: files and folders; folders are searched to the bottom (see `readers.paths.walk`).
      options: how files are read; the same as the training data were prepared with.
      refusals: take all files that cannot be read, also later while others are loaded; must be skipping.
    """
    root, found, named = _list_files(paths, refusals)
    opened: list[Incoming] = []
    series: list[PurePosixPath] = []
    # The file opened last stays open: of a packed one, each volume would be unpacked from the start otherwise.
    open_file = functools.lru_cache(maxsize=1)(open_volume)
    for relative in found:
        with refusing(relative, refusals):
            if relative.suffix.lower() in EXTENSIONS:
                opened.append(_create_picture(root, relative, options))
            elif nifti.is_volume(relative):
                opened += _create_volumes(root, relative, options, open_file)
            elif dicom_file.is_dicom(root / relative):
                series.append(relative)
            else:
                formats = 'PNG, JPEG, TIFF, BMP, WebP, GIF, DICOM, NIfTI, NRRD, MetaImage'
                raise DataError(f'is no image that can be read ({formats}){nifti.remedy(relative)}')
    slices = dicom.describe_files(root, series, options, refusals, named)
    if refusals.passed_over:
        refusals.note(f'{describe_kinds(refusals.passed_over)} hold no images and are passed over.')
    opened += [
        _create_series(root, members, options, refusals) for members in find_volumes(root, slices, refusals)
    ]
    return _with_own_names(sorted(opened, key=lambda incoming: incoming.name))


def list_checksum(found: Sequence[Incoming]) -> str:
    """SHA-256 of what came in: names and files, not what is in them."""
    return content_checksum(
        {'found': [[one.kind, one.name, one.source, list(map(str, one.files))] for one in found]}
    )


def _list_files(paths: Sequence[Path], refusals: Refusals) -> tuple[Path, list[PurePosixPath], set[PurePosixPath]]:
    """The folder that holds all, the files relative to it, each once, and those that are named by themselves."""
    absolute = [Path(os.path.abspath(path)) for path in paths]
    folders = [path if path.is_dir() else path.parent for path in absolute]
    root = Path(os.path.commonpath(folders))
    found: dict[PurePosixPath, None] = {}
    named = set()
    for path in absolute:
        relative = PurePosixPath(path.relative_to(root).as_posix())
        if path.is_dir():
            below = Refusals(skip=True)
            inside = list(walk(path, below))
            voxels = nifti.find_voxels(path, inside)
            found |= dict.fromkeys(
                relative / inner for inner in inside if inner not in voxels and inner.name.upper() != 'DICOMDIR'
            )
            for name, reason in below.reasons.items():
                refusals.add(str(relative / name), reason)
        elif path.is_file():
            found[relative] = None
            named.add(relative)
        else:
            refusals.add(str(relative), 'there is no such file or folder')
    return root, sorted(found), named


def _create_picture(root: Path, relative: PurePosixPath, options: ReaderOptions) -> Incoming:
    return Incoming(
        kind='raster',
        name=str(relative.with_suffix('')),
        source=str(relative),
        files=(root / relative,),
        grid=None,
        load=functools.partial(load_picture, root, relative, options),
    )


def _create_volumes(
    root: Path, relative: PurePosixPath, options: ReaderOptions, open_file: Callable[[Path, int], VolumeFile]
) -> list[Incoming]:
    file, name = root / relative, str(relative.with_name(stem(relative)))
    volume = open_file(file, options.pixel_limit)
    grid = VolumeGrid(
        file=file,
        shape=volume.stored.shape[:3] if volume.count > 1 else volume.file_shape,
        orientation=volume.orientation,
        axis=options.axis,
    )
    return [
        Incoming(
            kind=_VOLUMES.get(relative.suffix.lower(), 'nifti'),
            name=f'{name}_volume{index:04d}' if volume.count > 1 else name,
            source=str(relative),
            files=(file,),
            grid=grid,
            load=functools.partial(load_volume, root, relative, index, options, open_file),
        )
        for index in range(volume.count)
    ]


def _create_series(root: Path, members: Volume, options: ReaderOptions, refusals: Refusals) -> Incoming:
    """One volume of a series; alone in its file it is named as the file, else by its folder and a hash."""
    patient, series = members[0].patient, members[0].series
    keys = [f'{patient}/{series}/{number:05d}' for number in range(len(members))]
    frames = {
        dicom.frame_key(member, key, rank): (root / member.relative, frame.number)
        for key, member in zip(keys, members, strict=True)
        for rank, frame in enumerate(member.frames)
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
        files=tuple(root / path for member in members for path in (member.relative, *member.copies)),
        grid=DicomGrid(frames),
        load=functools.partial(load_series, root, members, keys, options, refusals),
        copies={root / member.relative: tuple(root / path for path in member.copies) for member in members},
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
