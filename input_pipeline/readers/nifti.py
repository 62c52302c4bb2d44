"""Reads volumes of NIfTI (.nii, .nii.gz, .hdr with .img), NRRD and MetaImage as upright slices, with labels.

Layouts: any tree of volumes; or `images/` beside `labels/` (or `masks/`); or `imagesTr/` beside `labelsTr/`
as the Medical Segmentation Decathlon and nnU-Net have them (`imagesTs/` without labels is left out). The
numbers that nnU-Net appends for channels (`_0000`) do not count: they share one label and one patient. Elsewhere a
file whose name ends with `_seg`, `_mask` or the like holds the labels of those in its folder that share the rest
of its name, as in BraTS (`p1_t1`, `p1_flair`, `p1_seg`); these are one patient. What only looks like labels
of a volume beside it is refused (see `label_maps`).

Volumes are turned to the closest RAS+ axes and cut along `ReaderOptions.axis` (0 sagittal, 1 coronal, 2
axial). Slices are shown as radiologists are used to: the patient's right on the left of axial and coronal slices,
anterior at the top of axial ones and on the left of sagittal ones, superior at the top of the others.
Integers of 8 and 16 bits are kept as they are, with the header's scaling in `Record.intensity`; other types
become physical values in float32. The window is that of the whole volume. Constant slices (empty space
around the patient) are left out.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Real

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers.itk_volume import SUFFIXES, named_file
from input_pipeline.readers.label_maps import ImagesBeside
from input_pipeline.readers.nifti_volume import Volume, check_same_space, open_volume, read_labels
from input_pipeline.readers.paired_folder import MASK_ENDINGS, stem
from input_pipeline.readers.paths import (
    leading_split,
    naming,
    patient_finder,
    refusing,
    remedy,
    require_items,
    walk,
)
from input_pipeline.readers.pixels import check_usable, encode, percentile_window, sample
from input_pipeline.records import Item, ReaderOptions, Record

Stored = Real[np.ndarray, 'right anterior superior']
_CHANNEL = re.compile(r'_\d{4}$')
_LABELS = re.compile(r'(.+?)[-_.](?:seg|mask|label|labels|segmentation|gt|roi)', re.IGNORECASE)
_FOLDERS_OF_LABELS = ('labels', 'masks', 'segmentations', 'labelstr', 'labelsts')
_LABEL_FOLDERS = {'images': ('labels', 'masks'), 'imagesTr': ('labelsTr',), 'imagesTs': ('labelsTs',)}


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the volumes below `path`, from names and headers only.

    The patient is what `options.patient_pattern` finds in the relative path, or the name of the file: the
    volumes of one patient in several folders stay together. A leading split folder names the split.

    Raises:
      DataError: no folder, no volume, or (where refusals are not skipped) a file that is not a usable
        volume, or a volume without labels or labels without a volume where there is a folder of labels.
    """
    find_patient = patient_finder(options.patient_pattern)
    found = []
    walked = list(walk(path, refusals))
    voxels = find_voxels(path, walked)
    for relative in walked:
        if relative in voxels:
            continue
        with refusing(relative, refusals):
            if not is_volume(relative):
                raise DataError(f'is not NIfTI (.nii, .nii.gz), NRRD or MetaImage{remedy(relative)}')
            found.append(relative)
    items: list[Item] = []
    neighbours = ImagesBeside(functools.partial(_read_first, path, options), keep=options.keep_label_maps)
    contradictions: dict[PurePosixPath, str] = {}
    for image, labels in _pair(found, refusals):
        with refusing(image, refusals):
            patient = find_patient(str(image), case_name(image, labels))
            split = leading_split(image)
            items.append(
                create_item(path, image, labels, options, patient, split, None, contradictions, neighbours)
            )
    note_contradictions(contradictions, refusals)
    return require_items(items, path, 'volumes (.nii, .nii.gz, .nrrd, .mha)', refusals)


def find_voxels(root: Path, found: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Those of the files below `root` that hold the voxels of another one, and are read with that header."""
    named, images = set(), set()
    for relative in found:
        if relative.suffix.lower() in SUFFIXES:
            named.add(_named_voxels(root, relative))
        elif relative.suffix.lower() == '.img' and _header_of(root / relative).is_file():
            images.add(relative)
    return images | {voxels for voxels in named if voxels is not None}


def _header_of(voxels: Path) -> Path:
    """The header of an .img file, whose suffix is written in the same case."""
    return voxels.with_suffix('.HDR' if voxels.suffix.isupper() else '.hdr')


def _named_voxels(root: Path, header: PurePosixPath) -> PurePosixPath | None:
    """The file that holds the voxels of a header, None where they are in the same file."""
    name = named_file(root / header)
    return None if name is None else header.parent / name.replace('\\', '/')


def note_contradictions(contradictions: Mapping[PurePosixPath, str], refusals: Refusals) -> None:
    """Tells how many headers contradict themselves, with one of them."""
    if contradictions:
        file, contradiction = next(iter(contradictions.items()))
        refusals.note(
            f'{len(contradictions)} headers contradict themselves, such as that of {file}: {contradiction}.'
        )


def is_nifti(relative: PurePosixPath) -> bool:
    """Whether the name is that of a NIfTI volume."""
    return relative.name.lower().endswith(('.nii', '.nii.gz', '.hdr'))


def is_volume(relative: PurePosixPath) -> bool:
    """Whether the name is that of a volume that this reader takes."""
    return is_nifti(relative) or relative.suffix.lower() in SUFFIXES


def case_name(image: PurePosixPath, labels: PurePosixPath | None) -> str:
    """The patient a volume's name tells: its stem, without nnU-Net's channel number where its labels lack it."""
    without_channel = _CHANNEL.sub('', stem(image))
    if labels is None:
        return stem(image)
    if stem(labels) == without_channel:
        return without_channel
    case = _labelled_case(labels)
    return case if case and labels.parent == image.parent else stem(image)


def _pair(found: list[PurePosixPath], refusals: Refusals) -> Iterator[tuple[PurePosixPath, PurePosixPath | None]]:
    """Volumes with their labels, or with None where there is no folder of labels beside theirs."""
    folders = {relative.parent for relative in found}
    label_folders = {
        folder: folder.with_name(name)
        for folder in sorted(folders)
        for name in _LABEL_FOLDERS.get(folder.name, ())
        if folder.with_name(name) in folders
    }
    labels = {
        relative.with_name(stem(relative)): relative
        for relative in found
        if relative.parent in label_folders.values()
    }
    used, alone = set(), []
    for image in found:
        if image.parent in label_folders.values():
            continue
        if image.parent not in label_folders:
            if image.parent.name == 'imagesTs' and image.parent.with_name('imagesTr') in label_folders:
                refusals.pass_over('volumes of imagesTs/ without labels')
            else:
                alone.append(image)
            continue
        match = _find_labels(image, label_folders[image.parent], labels)
        if match is None:
            refusals.add(str(image), f'has no labels in {label_folders[image.parent]}/')
        else:
            used.add(match)
            yield image, match
    for unused in sorted(set(labels.values()) - used):
        refusals.add(str(unused), 'holds labels without a volume')
    yield from _pair_neighbours(alone, refusals)


def _labelled_case(labels: PurePosixPath) -> str | None:
    """What the name of a file of labels begins with, None where the name tells no labels."""
    found = _LABELS.fullmatch(stem(labels))
    return found.group(1) if found else None


def _pair_neighbours(
    alone: list[PurePosixPath], refusals: Refusals
) -> Iterator[tuple[PurePosixPath, PurePosixPath | None]]:
    """Volumes outside folders of images, with the labels that lie beside them."""
    cases = {(file.parent, case): file for file in alone if (case := _labelled_case(file)) is not None}
    images: dict[PurePosixPath, PurePosixPath | None] = {}
    for image in alone:
        if _labelled_case(image) is not None:
            continue
        if image.parent.name.lower() in _FOLDERS_OF_LABELS:
            reason = f'lies in {image.parent.name}/, so it holds labels, and no images/ or imagesTr/ lies beside'
            refusals.add(str(image), reason)
            continue
        parts = [match.start() for match in re.finditer('[-_.]|$', stem(image))]
        keys = [(image.parent, stem(image)[:end]) for end in reversed(parts)]
        images[image] = next((cases[key] for key in keys if key in cases), None)
    used = {image: labels for image, labels in images.items() if labels is not None}
    for image, labels in images.items():
        if labels is None and used:
            refusals.add(str(image), 'has no labels beside it, while others have')
        else:
            yield image, labels
    if used:
        image, labels = next(iter(used.items()))
        refusals.note(f'{len(used)} volumes have labels beside them by name, such as {labels} for {image}.')
    for labels in sorted(set(cases.values()) - set(used.values())):
        reason = (
            'holds labels by its name, and no volume of this name lies beside it; rename it where it is an image'
        )
        refusals.add(str(labels), reason)


def _find_labels(
    image: PurePosixPath, folder: PurePosixPath, labels: dict[PurePosixPath, PurePosixPath]
) -> PurePosixPath | None:
    names = [stem(image) + ending for ending in ('', *MASK_ENDINGS)] + [_CHANNEL.sub('', stem(image))]
    return next((labels[folder / name] for name in names if folder / name in labels), None)


def create_item(
    root: Path,
    image: PurePosixPath,
    labels: PurePosixPath | None,
    options: ReaderOptions,
    patient: str,
    split: str | None,
    label: str | None,
    contradictions: dict[PurePosixPath, str],
    neighbours: ImagesBeside | None = None,
) -> Item:
    """An item of one file; its records are the slices of its volumes (one for each fourth index).

    Args:
      root: the prepared path, which `image` and `labels` are relative to.
      options: see `ReaderOptions`.
      patient, split, label: see `Item`.
      contradictions: takes what the header of the image says that cannot be true together.
      neighbours: of files without labels, which may be label maps themselves; takes this one.

    Raises:
      DataError: a header without usable voxels, a file shorter than its header says, or labels of another
        shape or place.
    """
    volume = open_volume(root / image, options.pixel_limit)
    if volume.contradiction:
        contradictions[image] = volume.contradiction
    if labels is not None:
        with naming(labels):
            check_same_space(volume, open_volume(root / labels, options.pixel_limit))
    elif neighbours is not None:
        neighbours.add(image, patient, (volume.shape, tuple(volume.affine.round(3).ravel())))
    check = None if labels is not None or neighbours is None else functools.partial(neighbours.check, image)
    load = functools.partial(_load, root, image, labels, options, patient, label, check)
    return Item(str(image), patient, split, label, volume.storage, 1, load)


def _load(
    root: Path,
    image: PurePosixPath,
    labels: PurePosixPath | None,
    options: ReaderOptions,
    patient: str,
    label: str | None,
    check: Callable[[Stored], None] | None,
) -> Iterator[Record]:
    with naming(image):
        volume = open_volume(root / image, options.pixel_limit)
        ids = None
        if labels is not None:
            with naming(labels):
                ids = read_labels(root / labels, options.pixel_limit, options.mask_threshold)
    is_empty = True
    for index in range(volume.count):
        part = f'{image}/{index:04d}' if volume.count > 1 else str(image)
        with naming(part):
            values = volume.read(index)
            if check is not None:
                check(values)
            for place, record in enumerate(cut(volume, values, part, patient, str(image), options)):
                if record.image.min() == record.image.max():
                    continue  # empty space around the patient
                is_empty = False
                mask = None if ids is None else upright(np.moveaxis(ids, options.axis, 0)[place])[..., np.newaxis]
                yield dataclasses.replace(record, label=label, mask=mask)
    if is_empty:
        raise DataError(f'{image}: every slice along axis {options.axis} is constant; choose another --axis.')


def _read_first(root: Path, options: ReaderOptions, image: PurePosixPath) -> Stored:
    return open_volume(root / image, options.pixel_limit).read(0)


def cut(
    volume: Volume, values: Stored, key: str, patient: str, source: str, options: ReaderOptions
) -> Iterator[Record]:
    """Every slice of one volume along `options.axis`, from first to last, as records without label and mask.

    Args:
      volume: the file.
      values: as it stores them, of one volume.
      key: what the keys of the records begin with.
      patient, source: see `Record`.
      options: axis, modality and percentiles.

    Raises:
      DataError: the values are constant or not finite.
    """
    check_usable(values)
    units = volume.slope * sample(values).astype(np.float64) + volume.intercept
    window = percentile_window([units], options.percentiles)
    # A view: `take` would copy a whole volume that is not in C order for every slice of it.
    planes = np.moveaxis(values, options.axis, 0)
    for place in range(len(planes)):
        stored, intensity = encode(upright(planes[place]), volume.slope, volume.intercept)
        yield Record(
            key=f'{key}/{place:04d}',
            image=stored[..., np.newaxis],
            patient=patient,
            modality=options.modality or 'unknown',
            label=None,
            mask=None,
            intensity=intensity,
            window=window,
            spacing=_plane_spacing(volume, options.axis),
            source=source,
        )


def upright(plane: Real[np.ndarray, 'first second']) -> Real[np.ndarray, 'second first']:
    """A slice of an RAS+ volume as it is displayed: the last axis upwards, the other to the left."""
    return np.ascontiguousarray(plane[::-1, ::-1].T)


def from_upright(shown: Real[np.ndarray, 'second first']) -> Real[np.ndarray, 'first second']:
    """Undoes `upright`."""
    return shown.T[::-1, ::-1]


def _plane_spacing(volume: Volume, axis: int) -> tuple[float, float, float]:
    columns, rows = (spacing for place, spacing in enumerate(volume.spacing) if place != axis)
    return rows, columns, volume.spacing[axis]
