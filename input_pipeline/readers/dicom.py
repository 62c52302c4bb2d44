"""Reads a tree of DICOM files, with any names, as series of slices.

Files of one SeriesInstanceUID are sorted by the position of their slices along the normal (ImagePosition-
and ImageOrientationPatient), or by InstanceNumber where there is none; files of one series that differ in
size, type or orientation are volumes of their own, and so is each multi-frame file. One file is one item, so
a damaged slice costs only itself; each frame of a multi-frame file is one record. The window is that of the
whole volume. Constant slices of a volume (empty space) are left out.

Integers of 8 and 16 bits are kept as they are, with the rescale slope and intercept (Hounsfield units in
CT, gray in dose maps) in `Record.intensity`; other types become physical values in float32. MONOCHROME1 is
reversed so that a higher stored value is always brighter; `Record.intensity` and `Record.window` then run
from the higher physical value to the lower, so that values can still be mapped back. Palettes and
luminance become RGB.

Neither the id nor the name of a patient enters a record: the patient key is a salted hash of PatientID, of
StudyInstanceUID or of the path, the first of these that exists, and folders named after the patient are
replaced by it in `Record.source`. The salt is public, so this is pseudonymisation. Text burnt into the
pixels stays.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pydicom
from jaxtyping import Num

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import dicom_file
from input_pipeline.readers.paths import naming, patient_finder, refusing, require_items, walk
from input_pipeline.readers.pixels import encode, percentile_window, sample, to_physical
from input_pipeline.records import Dtype, Item, ReaderOptions, Record

Stored = Num[np.ndarray, 'height width channel']
_SALT = 'enhanced-gan dicom '
_OTHER_EXTENSIONS = {'.gz', '.zip', '.tar', '.pdf', '.html', '.htm', '.log', '.yaml', '.yml'}


@dataclasses.dataclass(frozen=True, slots=True)
class Slice:
    """One file of a volume, as its header describes it.

    Attributes:
      relative: its path.
      source: that path without the patient's id and name.
      patient: pseudonym.
      series: pseudonym of the SeriesInstanceUID.
      volume: what the slices of one volume have in common, as text.
      position: the lowest of its frames' positions, or the instance number where one is unknown.
      frames: images in the file.
      frame_positions: millimetres along the slice normal of each frame; empty where one is unknown.
      dtype: the type they are stored in.
      channels: 1 or 3.
      modality: DICOM's short name.
      spacing: millimetres between rows, columns and slices.
    """

    relative: PurePosixPath
    source: str
    patient: str
    series: str
    volume: str
    position: float
    frames: int
    frame_positions: tuple[float, ...]
    dtype: Dtype
    channels: int
    modality: str
    spacing: tuple[float, float, float]


class VolumeWindow:
    """The window of a volume, found when first asked for by decoding all its slices once."""

    def __init__(self, root: Path, slices: tuple[Slice, ...], options: ReaderOptions):
        self._root = root
        self._slices = slices
        self._options = options
        self._images = sum(member.frames for member in slices)
        self._lock = threading.Lock()  # slices are loaded by several threads

    def of(self, image: Stored, intensity: tuple[float, float]) -> tuple[float, float]:
        """`Record.window` of an image of the volume.

        Raises:
          DataError: every readable pixel of the volume has the same value.
        """
        window = self._find([(image, intensity)]) if self._images == 1 else self._of_volume()
        if window is None:
            raise DataError('is constant: every pixel of its volume has the same value')
        return window

    def _of_volume(self) -> tuple[float, float] | None:
        with self._lock:
            return self._window

    @functools.cached_property
    def _window(self) -> tuple[float, float] | None:
        return self._find(self._read_all())

    def _read_all(self) -> Iterator[tuple[Stored, tuple[float, float]]]:
        for member in self._slices:
            # A slice that cannot be read is refused when its own item is loaded.
            with contextlib.suppress(DataError, OSError):
                yield from read_images(self._root, member, self._options)

    def _find(self, images: Iterable[tuple[Stored, tuple[float, float]]]) -> tuple[float, float] | None:
        return find_window(images, self._images, self._options.percentiles)


def find_window(
    images: Iterable[tuple[Stored, tuple[float, float]]], count: int, percentiles: tuple[float, float]
) -> tuple[float, float] | None:
    """`Record.window` of images with their `Record.intensity`, `count` of them; None where all is constant."""
    samples = []
    bright_low = False
    for image, intensity in images:
        samples.append(to_physical(sample(image, count), intensity))
        bright_low = intensity[0] > intensity[1]
    if not samples or min(map(np.min, samples)) == max(map(np.max, samples)):
        return None
    return percentile_window(samples, percentiles, bright_low)


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the images below `path`, from headers only.

    Raises:
      DataError: no folder, no image, or (where refusals are not skipped) a file that is not DICOM, holds
        no pixels, or fewer than its header says.
    """
    candidates = (
        relative
        for relative in walk(path, refusals)
        if relative.suffix.lower() not in _OTHER_EXTENSIONS and relative.name.upper() != 'DICOMDIR'
    )
    slices = describe_files(path, candidates, options, refusals)
    return require_items(list(_create_items(path, slices, options)), path, 'DICOM images', refusals)


def describe_files(
    root: Path, found: Iterable[PurePosixPath], options: ReaderOptions, refusals: Refusals
) -> list[Slice]:
    """What the headers of files below `root` tell.

    Raises:
      DataError: where refusals are not skipped, for a file that is not DICOM, holds no pixels, or fewer than
        its header says.
    """
    find_patient = patient_finder(options.patient_pattern)
    slices = []
    for relative in found:
        with refusing(relative, refusals):
            if not dicom_file.is_dicom(root / relative):
                raise DataError('is not DICOM')
            known_patient = find_patient(str(relative), '')
            try:
                with warnings.catch_warnings():  # of breaches of the standard that pydicom copes with
                    warnings.simplefilter('ignore', UserWarning)
                    header = dicom_file.read_header(root / relative, options.pixel_limit)
                slices.append(_describe(relative, header, known_patient, options.modality))
            except (DataError, OSError):
                raise
            except Exception as error:  # pydicom converts values, and fails, when they are looked at
                raise DataError(f'has a damaged header ({type(error).__name__}: {error})') from error
    return slices


def _describe(relative: PurePosixPath, header: pydicom.Dataset, patient: str, modality: str) -> Slice:
    identity = str(header.get('PatientID') or '').strip()
    pseudonym = _pseudonym(patient or identity or str(header.get('StudyInstanceUID') or relative))
    frames = dicom_file.frame_count(header)
    orientation = dicom_file.orientation(header, 0)
    positions = _frame_positions(header, frames)
    dtype, channels = dicom_file.stored_as(header)
    alike = (
        header.Rows, header.Columns, header.BitsAllocated, header.get('PixelRepresentation'),
        header.PhotometricInterpretation, bool(positions), [round(number, 2) for number in orientation],
        relative if frames > 1 else '',
    )  # fmt: skip
    return Slice(
        relative=relative,
        source=_without_patient(relative, header, pseudonym),
        patient=pseudonym,
        series=_pseudonym(str(header.get('SeriesInstanceUID') or relative)),
        volume=str(alike),
        position=min(positions) if positions else float(header.get('InstanceNumber') or 0),
        frames=frames,
        frame_positions=positions,
        dtype=dtype,
        channels=channels,
        modality=str(header.get('Modality') or modality or 'unknown'),
        spacing=dicom_file.millimetres(header),
    )


def _frame_positions(header: pydicom.Dataset, frames: int) -> tuple[float, ...]:
    places = [
        (dicom_file.orientation(header, frame), dicom_file.position(header, frame)) for frame in range(frames)
    ]
    if not all(orientation and position for orientation, position in places):
        return ()
    return tuple(float(np.dot(np.cross(place[0][:3], place[0][3:]), place[1])) for place in places)


def _pseudonym(identity: str) -> str:
    return hashlib.sha256((_SALT + identity).encode()).hexdigest()[:12]


def _without_patient(relative: PurePosixPath, header: pydicom.Dataset, pseudonym: str) -> str:
    words = re.split(r'[\^=,\s]+', str(header.get('PatientName') or ''))
    words = [word.lower() for word in (*words, str(header.get('PatientID') or '')) if word.strip()]

    def tells(part: str) -> bool:
        return any(word == part.lower() or (len(word) > 2 and word in part.lower()) for word in words)

    return '/'.join(pseudonym if tells(part) else part for part in relative.parts)


def group_volumes(slices: Iterable[Slice]) -> list[tuple[Slice, ...]]:
    """The slices of each volume, from first to last."""
    volumes: dict[tuple[str, str, str], list[Slice]] = collections.defaultdict(list)
    for member in slices:
        volumes[member.patient, member.series, member.volume].append(member)
    return [_in_order(members) for _, members in sorted(volumes.items())]


def _create_items(root: Path, slices: list[Slice], options: ReaderOptions) -> Iterator[Item]:
    volumes: collections.Counter[str] = collections.Counter()
    for ordered in group_volumes(slices):
        window, series = VolumeWindow(root, ordered, options), ordered[0].series
        number = f'-{volumes[series]}' if volumes[series] else ''  # a localizer is not part of the stack beside it
        volumes[series] += 1
        for place, member in enumerate(ordered):
            key = f'{member.patient}/{series}{number}/{place:05d}'
            load = functools.partial(_load, root, member, key, window, options)
            yield Item(key, member.patient, None, None, member.dtype, member.channels, load)


def _in_order(members: list[Slice]) -> tuple[Slice, ...]:
    """The slices of a volume from first to last, with the distance between them where it can be measured."""
    members = sorted(members, key=lambda member: (member.position, str(member.relative)))
    steps = np.diff(np.unique([place for member in members for place in member.frame_positions]))
    if not len(steps):
        return tuple(members)
    between = float(np.median(steps))
    return tuple(dataclasses.replace(member, spacing=(*member.spacing[:2], between)) for member in members)


def read_images(root: Path, member: Slice, options: ReaderOptions) -> Iterator[tuple[Stored, tuple[float, float]]]:
    """Frames in the order of the file, as stored in records, with their `Record.intensity`.

    Raises:
      DataError: the pixels are truncated or damaged.
    """
    header = dicom_file.read_header(root / member.relative, options.pixel_limit)
    bright_low = header.PhotometricInterpretation == 'MONOCHROME1'
    for frame, values in enumerate(dicom_file.read_frames(root / member.relative, header)):
        slope, intercept = dicom_file.rescale(header, frame)
        yield encode(values, slope, intercept, bright_low)


def _load(root: Path, member: Slice, key: str, volume: VolumeWindow, options: ReaderOptions) -> Iterator[Record]:
    with naming(member.relative):
        for frame, (image, intensity) in enumerate(read_images(root, member, options)):
            window = volume.of(image, intensity)
            if image.min() < image.max():  # not empty space at the ends of the volume
                yield create_record(member, frame_key(member, key, frame), image, intensity, window)


def frame_key(member: Slice, key: str, frame: int) -> str:
    """The key of one frame's record: that of the file, where it holds no other."""
    return f'{key}/{frame:04d}' if member.frames > 1 else key


def create_record(
    member: Slice, key: str, image: Stored, intensity: tuple[float, float], window: tuple[float, float]
) -> Record:
    """The record of one frame."""
    return Record(
        key=key,
        image=image,
        patient=member.patient,
        modality=member.modality,
        label=None,
        mask=None,
        intensity=intensity,
        window=window,
        spacing=member.spacing,
        source=member.source,
    )
