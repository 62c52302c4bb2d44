"""Which images of DICOM files make up a volume, and in which order: decided here for all that reads DICOM.

Images of one patient and one SeriesInstanceUID belong together when they have the same size and kind of pixels,
lie in planes of one direction, and are of one kind (a localizer is no part of the stack beside it, nor is a
derived image). They are sorted by their place along the normal of these planes. Where several lie at one place,
what the scanner says of them (time, echo, b value, cardiac phase, magnitude or phase, acquisition) tells the
volumes apart; images that nothing tells apart are refused. What else is worth knowing becomes a note.
"""

import collections
import dataclasses
import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pydicom

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import dicom_file
from input_pipeline.records import Dtype

_SALT = 'enhanced-gan dicom '
_PARALLEL = 5e-3  # largest difference of direction cosines that are called the same
_SAME_PLACE = 1e-2  # millimetres
_GAP = 1.5  # a step so many times as long as most is a gap
_SHOWN = 10
# What may tell apart images at one place, in this order: macro (or '' at the top level alone) and keyword.
_MARKS = (
    ('FrameContentSequence', 'TemporalPositionIndex'),
    ('', 'TemporalPositionIdentifier'),
    ('', 'EchoNumbers'),
    ('MREchoSequence', 'EffectiveEchoTime'),
    ('', 'EchoTime'),
    ('MRDiffusionSequence', 'DiffusionBValue'),
    ('CardiacSynchronizationSequence', 'NominalPercentageOfCardiacPhase'),
    ('MRImageFrameTypeSequence', 'ComplexImageComponent'),
    ('', 'ImageType'),
    ('', 'AcquisitionNumber'),
    ('', 'TriggerTime'),
    ('', 'AcquisitionTime'),
    ('', 'ContentTime'),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One image of a file, as the header describes it.

    Attributes:
      number: in the file, from 0.
      orientation: direction cosines of a row and of a column; empty where unknown.
      place: millimetres along the normal of its plane; None where unknown.
      marks: values of _MARKS, as text.
    """

    number: int
    orientation: tuple[float, ...]
    place: float | None
    marks: tuple[str, ...]


class Alike(NamedTuple):
    """What all slices of a volume have in common.

    Attributes:
      size: rows and columns.
      pixels: bits, whether signed, and how they are shown.
      is_localizer, is_derived: of what kind they are.
      lacks_series: without a SeriesInstanceUID.
      file: which holds all of them; None where each has its own.
    """

    size: tuple[int, int]
    pixels: tuple[Any, ...]
    is_localizer: bool
    is_derived: bool
    lacks_series: bool
    file: PurePosixPath | None


@dataclasses.dataclass(frozen=True, slots=True)
class Slice:
    """One file of a volume, or those frames of it that belong to the volume.

    Attributes:
      relative: its path.
      source: that path without the patient's id and name.
      patient: pseudonym.
      series: pseudonym of the SeriesInstanceUID; of study and folder where there is none.
      uid: SOPInstanceUID, '' where there is none.
      alike: see there.
      number: InstanceNumber; None where there is none.
      frames: in the order of the volume.
      in_file: frames of the whole file.
      dtype: the type they are stored in.
      channels: 1 or 3.
      modality: DICOM's short name.
      spacing: millimetres between rows, columns and slices.
      copies: paths of other files with the same object.
    """

    relative: PurePosixPath
    source: str
    patient: str
    series: str
    uid: str
    alike: Alike
    number: int | None
    frames: tuple[Frame, ...]
    in_file: int
    dtype: Dtype
    channels: int
    modality: str
    spacing: tuple[float, float, float]
    copies: tuple[PurePosixPath, ...] = ()


Volume = tuple[Slice, ...]


def describe_slice(relative: PurePosixPath, header: pydicom.Dataset, patient: str, modality: str) -> Slice:
    """What a file's header says.

    Args:
      relative: its path.
      header: its elements.
      patient: as its path tells; '' where it does not.
      modality: where the header does not say.
    """
    identity = str(header.get('PatientID') or '').strip()
    pseudonym = _pseudonym(patient or identity or str(header.get('StudyInstanceUID') or relative))
    series = str(header.get('SeriesInstanceUID') or '')
    in_file = dicom_file.frame_count(header)
    kinds = [str(kind).upper() for kind in header.get('ImageType') or ()]
    dtype, channels = dicom_file.stored_as(header)
    return Slice(
        relative=relative,
        source=_without_patient(relative, header, pseudonym),
        patient=pseudonym,
        series=_pseudonym(series or f'{header.get("StudyInstanceUID") or ""} {relative.parent}'),
        uid=str(header.get('SOPInstanceUID') or ''),
        alike=Alike(
            # Numbers that a damaged header has several of raise here, where the file is refused.
            size=(int(header.Rows), int(header.Columns)),
            pixels=(
                int(header.BitsAllocated),
                int(header.get('PixelRepresentation') or 0),
                str(header.PhotometricInterpretation),
            ),
            is_localizer='LOCALIZER' in kinds,
            is_derived='DERIVED' in kinds[:1],
            lacks_series=not series,
            file=relative if in_file > 1 else None,
        ),
        number=_whole(header.get('InstanceNumber')),
        frames=tuple(_describe_frame(header, number) for number in range(in_file)),
        in_file=in_file,
        dtype=dtype,
        channels=channels,
        modality=str(header.get('Modality') or modality or 'unknown'),
        spacing=dicom_file.millimetres(header),
    )  # fmt: skip


def find_volumes(root: Path, slices: Iterable[Slice], refusals: Refusals) -> list[Volume]:
    """The volumes that files make up, each from its first slice to its last, the largest of a series first.

    Args:
      root: the folder that the paths of the slices are relative to.
      slices: see `describe_slice`.
      refusals: takes images that nothing tells apart, and notes on copies, kinds, order and gaps.

    Raises:
      DataError: where refusals are not skipped, for images that nothing tells apart.
    """
    own = _drop_copies(root, slices, refusals)
    series: dict[tuple[str, str], list[Slice]] = collections.defaultdict(list)
    for part in own:
        series[part.patient, part.series].append(part)
    _note_identities(own, refusals)
    volumes, stacks = [], []
    for _, parts in sorted(series.items()):
        separated = [_separate(group, refusals) for group in _geometry_groups(parts)]
        stacks += [len(group) for group in separated if len(group) > 1]
        ordered = [_in_order(volume, refusals) for group in separated for volume in group]
        volumes += sorted(ordered, key=lambda volume: (-_count(volume), _natural(volume[0].relative)))
    if stacks:
        refusals.note(
            f'{len(stacks)} series hold several images at each place (times, echoes, or the like); they are '
            f'{sum(stacks)} volumes.'
        )
    _note_kinds(volumes, refusals)
    _note_gaps(volumes, refusals)
    return volumes


def _describe_frame(header: pydicom.Dataset, number: int) -> Frame:
    orientation, position = dicom_file.orientation(header, number), dicom_file.position(header, number)
    place = None
    if orientation and position:
        place = float(np.dot(np.cross(orientation[:3], orientation[3:]), position))
    marks = tuple(str(_mark(header, number, macro, keyword)) for macro, keyword in _MARKS)
    return Frame(number, tuple(orientation), place, marks)


def _mark(header: pydicom.Dataset, number: int, macro: str, keyword: str) -> Any:
    return dicom_file.functional(header, number, macro, keyword) if macro else header.get(keyword)


def _whole(value: Any) -> int | None:
    try:
        return None if value in (None, '') else int(value)
    except (TypeError, ValueError):
        return None


def _pseudonym(identity: str) -> str:
    return hashlib.sha256((_SALT + identity).encode(errors='surrogateescape')).hexdigest()[:12]


def _without_patient(relative: PurePosixPath, header: pydicom.Dataset, pseudonym: str) -> str:
    words = re.split(r'[\^=,\s]+', str(header.get('PatientName') or ''))
    words = [word.lower() for word in (*words, str(header.get('PatientID') or '')) if word.strip()]

    def tells(part: str) -> bool:
        return any(word == part.lower() or (len(word) > 2 and word in part.lower()) for word in words)

    return '/'.join(pseudonym if tells(part) else part for part in relative.parts)


def _natural(path: PurePosixPath) -> list[tuple[int, int, str]]:
    """A key that sorts 2 before 10."""
    parts = re.split(r'(\d+)', str(path))
    return [(1, int(part), '') if part.isdecimal() else (0, 0, part) for part in parts]


def _count(volume: Volume) -> int:
    return sum(len(part.frames) for part in volume)


def _drop_copies(root: Path, slices: Iterable[Slice], refusals: Refusals) -> list[Slice]:
    """Each object once: files with one SOPInstanceUID and the same pixels are copies, however they are packed."""
    by_uid: dict[str, list[Slice]] = collections.defaultdict(list)
    for part in sorted(slices, key=_preference):
        by_uid[part.uid or str(part.relative)].append(part)
    kept: list[Slice] = []
    for parts in by_uid.values():
        objects: dict[Any, list[Slice]] = collections.defaultdict(list)
        for part in parts:
            places = [frame.place for frame in part.frames]
            content = _digest(root / part.relative) if len(parts) > 1 else ''
            objects[part.patient, part.series, part.number, *places, content].append(part)
        for first, *others in objects.values():
            kept.append(dataclasses.replace(first, copies=tuple(other.relative for other in others)))
    copies = sum(len(part.copies) for part in kept)
    if copies:
        refusals.note(f'{copies} files are copies of others (same SOPInstanceUID and pixels); each is used once.')
    return kept


def _preference(part: Slice) -> tuple[Any, ...]:
    """Of copies the one that is not packed, and then the one of the shortest name is used."""
    return part.relative.suffix.lower() == '.gz', len(str(part.relative)), _natural(part.relative)


def _digest(path: Path) -> str:
    """Of the pixels; of the file where they cannot be decoded."""
    digest = hashlib.sha256()
    try:
        with dicom_file.unpacked(path) as plain, warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # of breaches that pydicom copes with
            header = pydicom.dcmread(plain, force=True, stop_before_pixels=True)
            for frame in dicom_file.read_frames(plain, header):
                digest.update(np.ascontiguousarray(frame, frame.dtype.newbyteorder('<')).tobytes())
    except (DataError, OSError):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _geometry_groups(parts: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Images of one size, kind and direction, one frame each."""
    single = [dataclasses.replace(part, frames=(frame,)) for part in parts for frame in part.frames]
    groups: dict[tuple[Any, ...], list[Slice]] = collections.defaultdict(list)
    for image in single:
        groups[image.alike, image.frames[0].place is None].append(image)
    for _, images in sorted(groups.items(), key=lambda item: str(item[0])):
        clusters: list[list[Slice]] = []
        for image in images:
            near = next((own for own in clusters if _is_parallel(own[0], image)), None)
            if near is None:
                clusters.append([image])
            else:
                near.append(image)
        yield from clusters


def _is_parallel(one: Slice, other: Slice) -> bool:
    first, second = one.frames[0].orientation, other.frames[0].orientation
    if len(first) != len(second):
        return False
    return not first or float(np.abs(np.subtract(first, second)).max()) <= _PARALLEL


def _places(images: Sequence[Slice]) -> list[int]:
    """Images at each place."""
    places = np.sort([image.frames[0].place for image in images if image.frames[0].place is not None])
    if not len(places):
        return []
    starts = np.flatnonzero(np.concatenate([[True], np.diff(places) > _SAME_PLACE]))
    return np.diff(np.append(starts, len(places))).tolist()


def _separate(images: list[Slice], refusals: Refusals) -> list[list[Slice]]:
    """Volumes that have one image at each place."""
    groups = [images]
    for mark in range(len(_MARKS)):
        groups = [part for group in groups for part in _split(group, mark)]
    separated = []
    for group in groups:
        repeats = _places(group)
        if max(repeats, default=1) == 1:
            separated.append(group)
        elif len(set(repeats)) == 1 and len({_turn(image) for image in group}) == len(group):
            separated += _by_turn(group, repeats[0])
        else:
            for image in group:
                reason = 'lies where others of its series lie, and nothing in their headers tells them apart'
                refusals.add(
                    f'{image.relative}#{image.frames[0].number}' if image.in_file > 1 else str(image.relative),
                    reason,
                )
    return separated


def _split(images: list[Slice], mark: int) -> list[list[Slice]]:
    """The images by a mark, where that tells apart whole volumes: each has half of the places at least."""
    places = _places(images)
    if max(places, default=1) == 1:
        return [images]
    parts: dict[str, list[Slice]] = collections.defaultdict(list)
    for image in images:
        parts[image.frames[0].marks[mark]].append(image)
    whole = all(2 * len(_places(part)) >= len(places) for part in parts.values())
    return list(parts.values()) if len(parts) > 1 and whole else [images]


def _turn(image: Slice) -> tuple[int, int]:
    return (image.number if image.number is not None else -1, image.frames[0].number)


def _by_turn(images: list[Slice], repeats: int) -> list[list[Slice]]:
    """The first image at each place, by their numbers, the second, and so on."""
    ordered = sorted(images, key=lambda image: (image.frames[0].place, _turn(image)))
    return [ordered[start::repeats] for start in range(repeats)]


def _in_order(images: list[Slice], refusals: Refusals) -> Volume:
    """From first to last, frames of one file together, with the distance between slices where it is known."""
    if images[0].frames[0].place is not None:
        images = sorted(images, key=lambda image: (image.frames[0].place, _natural(image.relative)))
    elif all(image.number is not None for image in images):
        images = sorted(images, key=lambda image: (_turn(image), _natural(image.relative)))
    else:
        images = sorted(images, key=lambda image: (_natural(image.relative), image.frames[0].number))
        if len(images) > 1 and images[0].in_file == 1:
            refusals.note('Images without position and InstanceNumber are in the order of their names.')
    places = np.unique([image.frames[0].place for image in images if image.frames[0].place is not None])
    between = float(np.median(np.diff(places))) if len(places) > 1 else 0.0
    files: dict[PurePosixPath, list[Slice]] = collections.defaultdict(list)
    for image in images:
        files[image.relative].append(image)
    return tuple(
        dataclasses.replace(
            own[0],
            frames=tuple(image.frames[0] for image in own),
            spacing=(*own[0].spacing[:2], between or own[0].spacing[2]),
        )
        for own in files.values()
    )


def _note_identities(slices: Sequence[Slice], refusals: Refusals) -> None:
    patients: dict[str, set[str]] = collections.defaultdict(set)
    for part in slices:
        patients[part.series].add(part.patient)
    shared = sum(len(own) > 1 for own in patients.values())
    if shared:
        refusals.note(
            f'{shared} SeriesInstanceUIDs belong to several patients; each patient has volumes of its own.'
        )
    if any(part.alike.lacks_series for part in slices):
        refusals.note('Images without SeriesInstanceUID: those of one study in one folder count as a series.')


def _note_kinds(volumes: Sequence[Volume], refusals: Refusals) -> None:
    """Images that lie in a series beside a stack and are no part of it."""
    by_series: dict[tuple[str, str], list[Volume]] = collections.defaultdict(list)
    for volume in volumes:
        by_series[volume[0].patient, volume[0].series].append(volume)
    told: collections.Counter[str] = collections.Counter()
    for own in by_series.values():
        for volume in own[1:]:
            first, main = volume[0], own[0][0]
            if first.alike.is_localizer and not main.alike.is_localizer:
                told['localizers'] += _count(volume)
            elif first.alike.is_derived and not main.alike.is_derived:
                told['derived images'] += _count(volume)
            elif first.alike[:2] != main.alike[:2]:
                told['images of another size or type'] += _count(volume)
            elif first.frames[0].orientation != main.frames[0].orientation:
                told['images of another direction'] += _count(volume)
    for kind, count in told.items():
        refusals.note(f'In series of other images, and volumes of their own: {kind} ({count}).')


def _note_gaps(volumes: Sequence[Volume], refusals: Refusals) -> None:
    """Slices that are missing: never closed up silently."""
    gaps = []
    for volume in volumes:
        places = np.array([frame.place for part in volume for frame in part.frames if frame.place is not None])
        steps = np.diff(np.sort(places))
        if len(steps) < 2 or steps.max() <= _GAP * np.median(steps):
            continue
        wide = steps[steps > _GAP * np.median(steps)]
        gaps.append(
            f'{volume[0].patient}/{volume[0].series}: {len(wide)} gaps, the widest {wide.max():.4g} mm, where '
            f'slices are {np.median(steps):.4g} mm apart'
        )
    if gaps:
        more = f' ... and {len(gaps) - _SHOWN} more.' if len(gaps) > _SHOWN else '.'
        refusals.note('Slices are missing: ' + '; '.join(gaps[:_SHOWN]) + more)
