"""Fakes that need no generator: real images with the traces that generators leave, or blended with one another.

They show what real images show, so that nothing but the trace tells them apart. Each is altered once it has the
size and depth of the set, since traces lie between neighbouring pixels. An imitation is of the patient of its
image, and a blend takes what it adds from another patient of the same split.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt

from foundation.training.errors import UserError
from input_pipeline.dataset.items import stored_items
from input_pipeline.dataset.mixture import REAL, MixtureForm, unify_record
from input_pipeline.dataset.summary import RecordTable, read_records
from input_pipeline.decode import Split
from input_pipeline.placement import resample
from input_pipeline.preprocessing import stored_maximum
from input_pipeline.records import Item, Record

Imitation = Literal['upsampled_nearest', 'upsampled_bilinear', 'upsampled_transposed', 'blended']
IMITATIONS: tuple[Imitation, ...] = get_args(Imitation)
_SMOOTH_TAPS = np.array([0.25, 0.75, 0.75, 0.25])  # of a transposed convolution that leaves no trace of its stride
_UNEVENNESS = 0.3  # of the taps, relative: how far those of a layer that learned little are from smooth
_CENTRE, _RADII, _OPACITY = (0.3, 0.7), (0.1, 0.3), (0.5, 1.0)  # shares of the side, and of what is blended in
_EDGE = 0.3  # of the radii, over which a blend fades
_ALTERED = 0.05  # opacity from which a pixel counts as altered
Picture = Float32[np.ndarray, 'height width channel']
Resized = Float32[np.ndarray, '_ _ channel']


def list_imitations(
    kinds: Sequence[Imitation],
    real: Mapping[str, Mapping[str, Split]],
    form: MixtureForm,
    *,
    share: float,
    seed: int,
) -> dict[str, list[Item]]:
    """Items of each kind, in the splits of their patients.

    Args:
      kinds: what is made.
      real: the splits of prepared sets, by name.
      form: how all images of the new set are made alike.
      share: of the patients of each split, of whom every image is imitated.
      seed: of the choice of patients, and of all that chance decides about an image.

    Raises:
      UserError: when a split has one patient alone, with whom nothing can be blended.
    """
    items: dict[str, list[Item]] = {kind: [] for kind in kinds}
    for name, splits in real.items():
        for split_name, split in splits.items():
            table = read_records(split.folder, split_name)
            chosen = _choose_patients(table, share, f'{seed} {name} {split_name}')
            if 'blended' in kinds and len(set(table.patients)) < 2:
                raise UserError(
                    f'{name} has one patient in its {split_name} split; blending needs two, so leave it out.'
                )
            for place, item in enumerate(stored_items(split, split_name, 0, lambda record: record)):
                if item.patient not in chosen:
                    continue
                patient = f'{REAL}/{name}/{item.patient}'
                named = dataclasses.replace(item, key=f'{name}/{item.key}', patient=patient)
                for kind in kinds:
                    load = functools.partial(_load, kind, named, split, table, place, form, f'{seed} {kind}')
                    items[kind].append(dataclasses.replace(named, load=load))
    return items


def _choose_patients(table: RecordTable, share: float, seed: str) -> set[str]:
    """One at least."""
    patients = sorted(set(table.patients), key=lambda patient: _hash(f'{seed} {patient}'))
    return set(patients[: max(1, round(share * len(patients)))])


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).digest()


def _load(
    kind: Imitation, item: Item, split: Split, table: RecordTable, place: int, form: MixtureForm, seed: str
) -> Iterator[Record]:
    random = np.random.default_rng(list(_hash(f'{seed} {item.key}')))
    (record,) = item.load()
    own = unify_record(record, form, is_real=True)
    if kind == 'blended':
        donor = unify_record(split.read(_find_donor(table, place, random)), form, is_real=True)
        height, width = own.image.shape[:2]
        opacity = draw_opacity(height, width, random)
        other = resample(_as_shares(donor.image), height, width)
        changed = blend(_as_shares(own.image), other, opacity)
        altered = opacity >= _ALTERED
    else:
        changed = _UPSAMPLERS[kind](halve(_as_shares(own.image)), own.image.shape[:2], random)
        altered = np.ones(own.image.shape[:2], bool)
    image = _quantise(changed, own.image.dtype)
    yield dataclasses.replace(own, key=item.key, image=image, mask=altered[..., None].astype(np.uint8))


def _find_donor(table: RecordTable, place: int, random: np.random.Generator) -> int:
    """An image of another patient, of the same class and modality where there is one."""
    others = [other for other, patient in enumerate(table.patients) if patient != table.patients[place]]
    shown = table.labels[place], table.modalities[place]
    alike = [other for other in others if (table.labels[other], table.modalities[other]) == shown]
    return int(random.choice(alike or others))


def _as_shares(image: UInt[np.ndarray, 'height width channel']) -> Picture:
    return (image / np.float32(stored_maximum(image.dtype))).astype(np.float32)


def _quantise(picture: Picture, dtype: np.dtype) -> UInt[np.ndarray, 'height width channel']:
    return np.rint(np.clip(picture, 0, 1) * stored_maximum(dtype)).astype(dtype)


def halve(picture: Picture) -> Resized:
    """The means of fields of 2x2 pixels; of an odd side, the last line is counted twice."""
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def double_nearest(small: Picture, shape: tuple[int, ...], random: np.random.Generator) -> Resized:
    """Every pixel four times, as layers do that repeat."""
    return small.repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]


def double_bilinear(small: Picture, shape: tuple[int, ...], random: np.random.Generator) -> Resized:
    """As layers do that interpolate, without aligned corners."""
    return transpose_convolve(small, _SMOOTH_TAPS, _SMOOTH_TAPS)[: shape[0], : shape[1]]


def double_transposed(small: Picture, shape: tuple[int, ...], random: np.random.Generator) -> Resized:
    """As a transposed convolution of stride 2 with uneven taps, which leaves a checkerboard, does."""
    taps = [_SMOOTH_TAPS * (1 + _UNEVENNESS * random.uniform(-1, 1, len(_SMOOTH_TAPS))) for _ in range(2)]
    rows, columns = (2 * own / own.sum() for own in taps)
    return transpose_convolve(small, rows, columns)[: shape[0], : shape[1]]


def transpose_convolve(small: Picture, rows: Float[np.ndarray, '4'], columns: Float[np.ndarray, '4']) -> Resized:
    """A transposed convolution with stride 2 and the kernel `rows` times `columns`; edges are repeated."""
    for axis, taps in enumerate((rows, columns)):
        padded = np.pad(small, [(1, 1) if own == axis else (0, 0) for own in range(3)], mode='edge')
        before, here, after = (
            np.take(padded, range(start, start + small.shape[axis]), axis=axis) for start in range(3)
        )
        # Of an output of an even place, the taps 1 and 3 reach the pixel itself and the one before it.
        even, odd = taps[1] * here + taps[3] * before, taps[2] * here + taps[0] * after
        shape = [2 * length if own == axis else length for own, length in enumerate(small.shape)]
        small = np.stack([even, odd], axis=axis + 1).reshape(shape).astype(np.float32)
    return small


_UPSAMPLERS: dict[str, Callable[[Picture, tuple[int, ...], np.random.Generator], Resized]] = {
    'upsampled_nearest': double_nearest,
    'upsampled_bilinear': double_bilinear,
    'upsampled_transposed': double_transposed,
}


def draw_opacity(height: int, width: int, random: np.random.Generator) -> Float32[np.ndarray, 'height width']:
    """An ellipse somewhere near the middle, turned at random, whose edge is soft; 0 outside."""
    side = min(height, width)
    centre, radii = random.uniform(*_CENTRE, 2) * (height, width), random.uniform(*_RADII, 2) * side
    angle = random.uniform(0, math.pi)
    rows, columns = np.indices((height, width)) - centre[:, None, None]
    along = rows * math.cos(angle) + columns * math.sin(angle)
    across = columns * math.cos(angle) - rows * math.sin(angle)
    distance = np.hypot(along / radii[0], across / radii[1])
    shown = np.clip((1 - distance) / _EDGE, 0, 1)
    soft = cv2.GaussianBlur(shown, (0, 0), max(0.5, side / 64))
    return (random.uniform(*_OPACITY) * soft).astype(np.float32)


def blend(picture: Picture, other: Picture, opacity: Float32[np.ndarray, 'height width']) -> Picture:
    """One picture over another, after the grey levels that are to be seen got the mean and deviation of below."""
    weights = opacity[..., None] / opacity.sum()
    means = [(weights * own).sum(axis=(0, 1)) for own in (picture, other)]
    spreads = [
        np.sqrt((weights * np.square(own - mean)).sum(axis=(0, 1)))
        for own, mean in zip((picture, other), means, strict=True)
    ]
    moved = (other - means[1]) * np.minimum(spreads[0] / np.maximum(spreads[1], 1e-3), 4) + means[0]
    return ((1 - opacity[..., None]) * picture + opacity[..., None] * np.clip(moved, 0, 1)).astype(np.float32)
