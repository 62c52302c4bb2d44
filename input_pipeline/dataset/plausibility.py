"""Whether a data set can be what its user thinks it is: looked at while it is written, told at the end.

Sentences name what should be looked into, each with what to do where it is wrong: masks and values that are not
what they seem, images that are almost empty, the same picture twice, above all in two splits or classes, splits
without a class or without patients. A sheet shows images as training sees them.
"""

import collections
import dataclasses
import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8

from input_pipeline.dataset.splits import SPLITS
from input_pipeline.placement import AS_STORED, is_known, square_scale
from input_pipeline.records import Record

COLUMNS, ROWS = 8, 6
_SIDE = 96  # pixels of a picture on the sheet
_TEXT = 14  # pixels of the line below it
_SMALL = 16  # pixels a side of what near duplicates are found by
_ALIKE = 0.998  # correlation of small pictures that are called near duplicates
_LARGEST_BUCKET = 100  # pictures whose coarse outlines agree; of more, outlines tell nothing
_EMPTY = 0.01  # share of pixels that are brighter than almost black
_ALIKE_SIDES = 1.02  # millimetres that differ by less are called the same
# Label maps of anatomy have more classes now and then; numbered cells or lesions nearly always.
_MANY_CLASSES = 20
# Pictures that use less of their type than this have hardly any contrast in its whole range.
_SLIVER = 1 / 4
_PICTURE_SOURCES = ('image_folder', 'paired_folder', 'arrays')
_MASK = np.array([230, 60, 50], np.float32)


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What is seen of one image.

    Attributes:
      shown: as training sees it, at most `_SIDE` pixels long: grey or colour.
      mask: how much of each of these pixels is foreground; None without a mask.
      small: smaller still and grey, to find near duplicates by.
      filled: share of its pixels that are brighter than almost black.
      pixels: hash of its pixels in stored values.
    """

    shown: UInt8[np.ndarray, 'height width channels']
    mask: Float32[np.ndarray, 'height width'] | None
    small: UInt8[np.ndarray, 'small small']
    filled: float
    pixels: bytes


def look_at(record: Record, image: Shaped[np.ndarray, 'height width channel']) -> Look:
    """What is seen of a record's image, in the type that it is stored in."""
    largest = np.iinfo(image.dtype).max if image.dtype.kind == 'u' else 1.0
    low, high = record.intensity
    ends = [(end - low) / (high - low) * largest for end in record.window]
    pixels = hashlib.sha256(f'{image.dtype.str}{image.shape}'.encode())
    pixels.update(np.ascontiguousarray(image).data)
    sides = square_scale(record.spacing).sides(*image.shape[:2])
    scale = min(_SIDE / max(sides), 1)
    size = [max(round(side * scale), 1) for side in sides[::-1]]
    values = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    values = values.reshape(*size[::-1], -1)
    shown = np.clip((values - ends[0]) * np.float32(1 / max(ends[1] - ends[0], 1e-9)), 0, 1)
    grey = shown.mean(axis=-1) if shown.shape[-1] > 1 else shown[..., 0]
    mask = None
    if record.mask is not None:
        mask = cv2.resize((record.mask[..., 0] > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(grey, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    return Look(
        shown=(255 * (shown[..., :3] if shown.shape[-1] >= 3 else grey[..., None]) + 0.5).astype(np.uint8),
        mask=mask,
        small=(255 * small).astype(np.uint8),
        filled=float(np.count_nonzero(grey > 0.05) / grey.size),
        pixels=pixels.digest(),
    )


def draw(look: Look) -> UInt8[np.ndarray, 'side side 3']:
    """As the sheet shows it: in the middle of a square, the mask tinted."""
    scale = _SIDE / max(look.shown.shape[:2])
    size = [max(round(side * scale), 1) for side in look.shown.shape[1::-1]]
    values = cv2.resize(look.shown.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    picture = np.zeros((_SIDE, _SIDE, 3), np.float32)
    top, left = (_SIDE - size[1]) // 2, (_SIDE - size[0]) // 2
    inside = picture[top : top + size[1], left : left + size[0]]
    inside += values.reshape(*size[::-1], -1)
    if look.mask is not None:
        inside += 0.5 * cv2.resize(look.mask, size, interpolation=cv2.INTER_LINEAR)[..., None] * (_MASK - inside)
    return picture.round().astype(np.uint8)


@dataclasses.dataclass(frozen=True, slots=True)
class _SeenImage:
    """What is remembered of one image."""

    split: str
    label: str
    patient: str
    key: str
    pixels: bytes


class Plausibility:
    """Gathers what images look like, in memory that grows by some hundred bytes an image."""

    def __init__(self) -> None:
        self._seen: list[_SeenImage] = []
        self._small: list[UInt8[np.ndarray, ' pixel']] = []
        self._spacings: collections.Counter[tuple[float, float, float]] = collections.Counter()
        self._modalities: collections.Counter[str] = collections.Counter()
        self._empty = 0
        # The pictures of the lowest hashes: as good as drawn at random, and the same each time.
        self._shown: list[tuple[bytes, int, str, UInt8[np.ndarray, 'side side 3']]] = []

    def add(self, split: str, record: Record, look: Look) -> None:
        """Takes one image."""
        number, label = len(self._seen), record.label or ''
        self._seen.append(_SeenImage(split, label, record.patient, record.key, look.pixels))
        self._small.append(look.small.reshape(-1))
        self._spacings[record.spacing] += 1
        self._modalities[record.modality] += 1
        self._empty += look.filled < _EMPTY
        rank = bytes(255 - byte for byte in hashlib.sha256(record.key.encode(errors='surrogateescape')).digest())
        if len(self._shown) == COLUMNS * ROWS:
            if rank < self._shown[0][0]:
                return
            heapq.heappop(self._shown)
        heapq.heappush(self._shown, (rank, number, f'{split} {label}'.strip(), draw(look)))

    def sentences(self, *, patients_known: bool) -> list[str]:
        """What should be looked into."""
        return [
            *self._about_contents(),
            *_about_copies('the same picture', _same(self._seen), self._seen),
            *_about_copies('almost the same picture', self._nearly_same(), self._seen),
            *self._about_splits(patients_known),
        ]

    def sheet(self) -> UInt8[np.ndarray, 'height width 3']:
        """Images as training sees them, with split and class, at most COLUMNS x ROWS."""
        cells = []
        for _, _, caption, picture in sorted(self._shown, key=lambda shown: shown[1]):
            line = np.full((_TEXT, _SIDE, 3), 255, np.uint8)
            text = caption.encode('ascii', 'replace').decode()[: _SIDE // 6]
            cv2.putText(line, text, (2, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (0, 0, 0), 1, cv2.LINE_AA)
            cells.append(np.pad(np.concatenate([picture, line]), ((2, 2), (2, 2), (0, 0)), constant_values=255))
        blank = np.full((_SIDE + _TEXT + 4, _SIDE + 4, 3), 255, np.uint8)
        cells += [blank] * (-len(cells) % COLUMNS)
        rows = [np.concatenate(cells[start : start + COLUMNS], axis=1) for start in range(0, len(cells), COLUMNS)]
        return np.concatenate(rows)

    def _about_contents(self) -> Iterator[str]:
        count = len(self._seen)
        if self._empty:
            yield f'{self._empty} of {count} images are almost empty: less than {_EMPTY:.0%} of them is not black.'
        yield from _about_spacing(self._spacings, count)
        if len(self._modalities) > 1:
            kinds = ', '.join(f'{name} {n}' for name, n in self._modalities.most_common())
            yield f'Modalities are mixed ({kinds}); --config.data.modalities chooses among them.'

    def _about_splits(self, patients_known: bool) -> Iterator[str]:
        patients = {split: {seen.patient for seen in self._seen if seen.split == split} for split in SPLITS}
        everyone = set().union(*patients.values())
        if patients_known and len(everyone) == 1 and len(self._seen) > 1:
            yield 'All images have one patient id, so they are in one split; name patients with --patient_pattern.'
        lacking = {'validation': 'choosing the best checkpoint', 'test': 'scores and the release gate'}
        for split, use in lacking.items():
            if not patients[split]:
                yield f'There is no {split} split, which {use} need; see --{split}_fraction.'
        if 0 < len(patients['test']) < 99:
            level = 1 / (len(patients['test']) + 1)
            yield (
                f'{len(patients["test"])} test patients: what the release gate says of one image is wrong with a '
                f'chance of {level:.1%} at least; 19 patients make it 5%, 99 make it 1%.'
            )
        yield from _missing_classes(self._seen, [split for split in SPLITS if patients[split]])

    def _nearly_same(self) -> list[list[int]]:
        """Groups of images that are not equal, but look alike."""
        buckets: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
        for number, small in enumerate(self._small):
            for part, outline in enumerate(_outlines(small.reshape(_SMALL, _SMALL))):
                buckets[part, outline].append(number)
        alike: set[tuple[int, int]] = set()
        for numbers in buckets.values():
            if 1 < len(numbers) <= _LARGEST_BUCKET:
                alike |= self._alike(numbers)
        return _joined(sorted(alike))

    def _alike(self, numbers: Sequence[int]) -> set[tuple[int, int]]:
        """Those pairs of images, in ascending order, whose small pictures correlate and whose pixels differ."""
        small = np.stack([self._small[number] for number in numbers]).astype(np.float64)
        small -= small.mean(axis=1, keepdims=True)
        length = np.linalg.norm(small, axis=1)
        matches = np.triu(small @ small.T > _ALIKE * np.outer(length, length), k=1) & (length > 0)
        pairs = ((numbers[one], numbers[other]) for one, other in np.argwhere(matches).tolist())
        return {(one, other) for one, other in pairs if self._seen[one].pixels != self._seen[other].pixels}


def question_values(summary: Mapping[str, Any], source: str) -> list[str]:
    """What should be looked into by the values of masks and images.

    Args:
      summary: see `Summarizer.finish`.
      source: the reader's name; '' where the data are not read from files.
    """
    return [*_about_masks(summary), *(_about_values(summary, source) if source in _PICTURE_SOURCES else ())]


def _about_masks(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary['mask_ids'] is None:
        return
    ids = [number for number in summary['mask_ids'] if number]
    if not ids:
        yield 'No mask marks anything: every pixel is background.'
        return
    missing = sorted(set(range(1, max(ids))) - set(ids))
    if len(ids) >= _MANY_CLASSES:
        yield (
            f'The masks have {len(ids)} classes, up to {max(ids)}: if these numbers count objects (cells, '
            'lesions) and are no classes, prepare with --mask_threshold=0, which makes them one class.'
        )
    elif missing:
        absent = ', '.join(map(str, missing))
        yield f'No mask has the class {absent}; ids stay as they are, so it counts as one that is empty.'
    if summary['foreground'] > 0.5:
        yield (
            f'The foreground covers {summary["foreground"]:.0%} of the pixels of all masks: if black and white '
            'are swapped, invert the masks.'
        )


def _about_values(summary: Mapping[str, Any], source: str) -> Iterator[str]:
    if summary['two_valued'] and source == 'image_folder':
        yield (
            f'{summary["two_valued"]} images hold two values only, as masks do: if they are masks, read them '
            'with their images by --source=paired_folder.'
        )
    stored, used = summary['stored_range'], summary['intensity_range']
    if stored is None or summary['dtype'] == 'float32' or summary['descending'] != 'none':
        return
    share = (used[1] - used[0]) / (stored[1] - stored[0])
    if share < _SLIVER:
        yield (
            f'The images use {used[0]:g} to {used[1]:g} of {stored[0]:g} to {stored[1]:g}, so there is hardly '
            'any contrast where the whole range is shown; --config.data.window=dataset shows what is used.'
        )


def _about_spacing(spacings: Mapping[tuple[float, float, float], int], count: int) -> Iterator[str]:
    """What pixels measure in images whose spacing is known, and what training does about it."""
    known = {spacing: n for spacing, n in spacings.items() if is_known(spacing)}
    if not known:
        return
    oblong = {spacing: n for spacing, n in known.items() if square_scale(spacing) != AS_STORED}
    if oblong:
        ratio = max(max(spacing[:2]) / min(spacing[:2]) for spacing in oblong)
        yield (
            f'{sum(oblong.values())} images have pixels that are not square, up to 1 : {ratio:.3g}; training '
            'makes them square, of the finer of their two spacings (--config.data.pixels=as_stored does not).'
        )
    sides = [min(spacing[:2]) for spacing in known]
    square = 'Pixels, once they are square,' if oblong else 'Pixels'
    yield (
        f'{square} are {min(sides):.3g} to {max(sides):.3g} mm wide, known of {sum(known.values())} of {count} '
        'images; training fits each image into its square, so that one pixel means another length in each '
        '(--config.data.pixels=resampled gives all the same, --config.data.pixel_size).'
        if max(sides) > _ALIKE_SIDES * min(sides)
        else f'{square} are {max(sides):.3g} mm wide in all images whose spacing is known.'
    )


def _outlines(small: UInt8[np.ndarray, 'small small']) -> Iterator[int]:
    """Four numbers of 16 bits, of which near duplicates have one in common: where a picture gets brighter."""
    coarse = cv2.resize(small, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int32)
    rises: Bool[np.ndarray, ' bit'] = (coarse[:, 1:] > coarse[:, :-1]).reshape(-1)
    packed = np.packbits(rises).tobytes()
    yield from (int.from_bytes(packed[start : start + 2], 'big') for start in range(0, 8, 2))


def _same(seen: Sequence[_SeenImage]) -> list[list[int]]:
    groups: dict[bytes, list[int]] = collections.defaultdict(list)
    for number, one in enumerate(seen):
        groups[one.pixels].append(number)
    return [numbers for numbers in groups.values() if len(numbers) > 1]


def _joined(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups that pairs make up."""
    group_of: dict[int, list[int]] = {}
    for one, other in pairs:
        first, second = group_of.setdefault(one, [one]), group_of.setdefault(other, [other])
        if first is not second:
            first += second
            group_of.update(dict.fromkeys(second, first))
    return list({id(group): group for group in group_of.values()}.values())


def _about_copies(what: str, groups: Sequence[Sequence[int]], seen: Sequence[_SeenImage]) -> Iterator[str]:
    if not groups:
        return
    extra = sum(len(group) - 1 for group in groups)
    worst = {
        'splits': [group for group in groups if len({seen[number].split for number in group}) > 1],
        'classes': [group for group in groups if len({seen[number].label for number in group}) > 1],
        'patients': [group for group in groups if len({seen[number].patient for number in group}) > 1],
    }
    across = [f'{len(found)} in several {name}' for name, found in worst.items() if found]
    example = next((found[0] for found in worst.values() if found), groups[0])
    names = ' and '.join(seen[number].key for number in example[:2])
    yield (
        f'{extra} images show {what} as another one '
        f'({len(groups)} groups{"".join(f", {part}" for part in across)}; such as {names}).'
    )


def _missing_classes(seen: Sequence[_SeenImage], splits: Sequence[str]) -> Iterator[str]:
    labels = {split: {one.label for one in seen if one.split == split} for split in splits}
    every = set().union(*labels.values()) if labels else set()
    for split in splits:
        absent = sorted(every - labels[split] - {''})
        if absent:
            yield f'The {split} split has no image of {", ".join(absent)}; --stratify may help.'
