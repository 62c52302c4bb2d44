"""Reads a tree of DICOM files, with any names, as volumes of slices (`dicom_volumes` says which they are).

One file is one item, so a damaged slice costs only itself; each frame of a multi-frame file is one record. The
window is that of the whole volume. Constant slices of a volume (empty space) are left out.

Integers of 8 and 16 bits are kept as they are, with the rescale slope and intercept (Hounsfield units in CT,
gray in dose maps) in `Record.intensity`; other types become physical values in float32. MONOCHROME1 is reversed
so that a higher stored value is always brighter; `Record.intensity` and `Record.window` then run from the higher
physical value to the lower, so that values can still be mapped back. Palettes and luminance become RGB. Padding
(PixelPaddingValue and its range limit) is in no window, and is shown as the darkest value of the window.

Neither the id nor the name of a patient enters a record: the patient key is a salted hash of PatientID, of
StudyInstanceUID or of the path, the first of these that exists, and folders named after the patient are replaced
by it in `Record.source`. The salt is public; `prepare` replaces these hashes by keyed ones (`dataset.pseudonyms`).
Text burnt into the pixels stays.
"""

import collections
import contextlib
import functools
import threading
import warnings
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Num, Real

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import dicom_file
from input_pipeline.readers.dicom_volumes import Slice, Volume, describe_slice, find_volumes
from input_pipeline.readers.paths import naming, patient_finder, refusing, require_items, walk
from input_pipeline.readers.pixels import encode, percentile_window, sample, to_physical
from input_pipeline.records import Item, ReaderOptions, Record

Stored = Num[np.ndarray, 'height width channel']
_OTHER_EXTENSIONS = {'.zip', '.tar', '.pdf', '.html', '.htm', '.log', '.yaml', '.yml'}


class StoredImage(NamedTuple):
    """One image as records store it.

    Attributes:
      image: stored values.
      intensity: see `Record.intensity`.
      padding: where pixels are padding; None where none are.
    """

    image: Stored
    intensity: tuple[float, float]
    padding: Bool[np.ndarray, 'height width channel'] | None

    def sample(self, share: int) -> Real[np.ndarray, ' count']:
        """Evenly spread physical values of what is no padding."""
        values = self.image if self.padding is None else self.image[~self.padding]
        return to_physical(sample(values, share), self.intensity)

    def filled(self, window: tuple[float, float]) -> Stored:
        """Stored values, padding as the darkest value of a window."""
        if self.padding is None:
            return self.image
        low, high = self.intensity
        darkest = (window[0] - low) / (high - low)
        if self.image.dtype.kind == 'u':
            largest = np.iinfo(self.image.dtype).max
            darkest = round(min(max(darkest * largest, 0), largest))
        filled = self.image.copy()
        filled[self.padding] = darkest
        return filled


class VolumeWindow:
    """The window of a volume, found when first asked for by decoding all its slices once."""

    def __init__(self, root: Path, slices: tuple[Slice, ...], options: ReaderOptions):
        self._root = root
        self._slices = slices
        self._options = options
        self._images = sum(len(member.frames) for member in slices)
        self._lock = threading.Lock()  # slices are loaded by several threads

    def of(self, image: StoredImage) -> tuple[float, float]:
        """`Record.window` of an image of the volume.

        Raises:
          DataError: every readable pixel of the volume has the same value.
        """
        window = self._find([image]) if self._images == 1 else self._of_volume()
        if window is None:
            raise DataError('is constant: every pixel of its volume has the same value')
        return window

    def _of_volume(self) -> tuple[float, float] | None:
        with self._lock:
            return self._window

    @functools.cached_property
    def _window(self) -> tuple[float, float] | None:
        return self._find(self._read_all())

    def _read_all(self) -> Iterator[StoredImage]:
        for member in self._slices:
            # A slice that cannot be read is refused when its own item is loaded.
            with contextlib.suppress(DataError, OSError):
                yield from read_images(self._root, member, self._options)

    def _find(self, images: Iterable[StoredImage]) -> tuple[float, float] | None:
        return find_window(images, self._images, self._options.percentiles)


def find_window(
    images: Iterable[StoredImage], count: int, percentiles: tuple[float, float]
) -> tuple[float, float] | None:
    """`Record.window` of images, `count` of them; None where all that is no padding is constant."""
    samples = []
    bright_low = False
    for image in images:
        values = image.sample(count)
        if values.size:
            samples.append(values)
        bright_low = image.intensity[0] > image.intensity[1]
    if not samples or min(map(np.min, samples)) == max(map(np.max, samples)):
        return None
    return percentile_window(samples, percentiles, bright_low)


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the images below `path`, from headers only.

    Raises:
      DataError: no folder, no image, or (where refusals are not skipped) a file that is not DICOM, holds
        no pixels, or fewer than its header says, and images that nothing tells apart.
    """
    candidates = []
    for relative in walk(path, refusals):
        if relative.name.upper() == 'DICOMDIR':
            refusals.pass_over('DICOMDIR')
        elif relative.suffix.lower() in _OTHER_EXTENSIONS:
            refusals.pass_over(f'{relative.suffix.lower()} files')
        elif relative.suffix.lower() == '.gz' and not dicom_file.is_dicom(path / relative):
            refusals.pass_over('.gz files that hold no DICOM')
        else:
            candidates.append(relative)
    slices = describe_files(path, candidates, options, refusals)
    volumes = find_volumes(path, slices, refusals)
    return require_items(list(_create_items(path, volumes, options)), path, 'DICOM images', refusals)


def describe_files(
    root: Path,
    found: Iterable[PurePosixPath],
    options: ReaderOptions,
    refusals: Refusals,
    named: Collection[PurePosixPath] = (),
) -> list[Slice]:
    """What the headers of files below `root` tell; objects that are no images, such as reports, are passed over.

    Args:
      root: the folder.
      found: its files.
      options: pixel limit, patients and modality.
      refusals: takes what is refused, and the kinds of what is passed over.
      named: files that are refused where others would be passed over.

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
                with dicom_file.unpacked(root / relative) as path, warnings.catch_warnings():
                    warnings.simplefilter('ignore', UserWarning)  # of breaches that pydicom copes with
                    header = dicom_file.read_header(path, options.pixel_limit)
                slices.append(describe_slice(relative, header, known_patient, options.modality))
            except dicom_file.ImagelessError as error:
                if relative in named:
                    raise
                refusals.pass_over(error.kind)
            except (DataError, OSError):
                raise
            except Exception as error:  # pydicom converts values, and fails, when they are looked at
                raise DataError(f'has a damaged header ({type(error).__name__})') from error
    return slices


def _create_items(root: Path, volumes: Iterable[Volume], options: ReaderOptions) -> Iterator[Item]:
    of_series: collections.Counter[str] = collections.Counter()
    for volume in volumes:
        window, series = VolumeWindow(root, volume, options), volume[0].series
        number = (
            f'-{of_series[series]}' if of_series[series] else ''
        )  # a localizer is not part of the stack beside it
        of_series[series] += 1
        for place, member in enumerate(volume):
            key = f'{member.patient}/{series}{number}/{place:05d}'
            load = functools.partial(_load, root, member, key, window, options)
            yield Item(key, member.patient, None, None, member.dtype, member.channels, load)


def read_images(root: Path, member: Slice, options: ReaderOptions) -> Iterator[StoredImage]:
    """The frames of a file that belong to a volume, in its order.

    Raises:
      DataError: the pixels are truncated or damaged.
    """
    wanted = [frame.number for frame in member.frames]
    with dicom_file.unpacked(root / member.relative) as path:
        header = dicom_file.read_header(path, options.pixel_limit)
        bright_low = header.PhotometricInterpretation == 'MONOCHROME1'
        kept: dict[int, StoredImage] = {}
        for number, values in enumerate(dicom_file.read_frames(path, header)):
            if number not in wanted:
                continue
            padding = dicom_file.padding_of(header, values)
            kept[number] = StoredImage(*encode(values, *dicom_file.rescale(header, number), bright_low), padding)
            while wanted and wanted[0] in kept:  # as soon as its turn has come
                yield kept.pop(wanted.pop(0))


def _load(root: Path, member: Slice, key: str, volume: VolumeWindow, options: ReaderOptions) -> Iterator[Record]:
    with naming(member.relative):
        for rank, image in enumerate(read_images(root, member, options)):
            window = volume.of(image)
            record = create_record(member, frame_key(member, key, rank), image, window)
            if record.image.min() < record.image.max():  # not empty space at the ends of the volume
                yield record


def frame_key(member: Slice, key: str, rank: int) -> str:
    """The key of one frame's record, its rank in the volume behind it where the file holds several."""
    return f'{key}/{rank:04d}' if member.in_file > 1 else key


def create_record(member: Slice, key: str, image: StoredImage, window: tuple[float, float]) -> Record:
    """The record of one frame."""
    return Record(
        key=key,
        image=image.filled(window),
        patient=member.patient,
        modality=member.modality,
        label=None,
        mask=None,
        intensity=image.intensity,
        window=window,
        spacing=member.spacing,
        source=member.source,
    )
