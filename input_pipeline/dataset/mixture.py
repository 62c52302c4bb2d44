"""Real and synthetic images in one data set, alike in all but where they come from: what detectors learn from.

Everything passes through one function, whatever its class: window, square, resample, quantise, encode. What tells
the classes apart afterwards is what a generator drew, not the files that it was kept in. Images may also keep
their own pixels, between which the traces of generators lie; then sizes are those of the files.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt, UInt8

from input_pipeline.borders import find_content
from input_pipeline.dataset.builder import Target, WriteOptions, write_dataset
from input_pipeline.dataset.items import open_splits, stored_items
from input_pipeline.dataset.pseudonyms import CLEAR, Pseudonyms
from input_pipeline.dataset.splits import SplitFractions
from input_pipeline.depth import is_measured
from input_pipeline.errors import DataError, Refusals
from input_pipeline.placement import Scale, fit_mask, pick_nearest, resample
from input_pipeline.preprocessing import (
    Preprocessing,
    apply_window,
    convert_channels,
    output_dtype,
    preprocess_image,
    resolve_window,
    stored_maximum,
)
from input_pipeline.records import PERCENTILES, Dtype, Item, Record

Mask = UInt8[np.ndarray, '_ _ 1']
Made = tuple[UInt[np.ndarray, '_ _ channel'], Mask, tuple[float, float]]  # image, mask, spacing in the plane
REAL = 'real'  # the class of real images; the others are named after their source
Borders = Literal['cut', 'kept']
BORDERS: tuple[Borders, ...] = get_args(Borders)
SHORTEST = 32  # pixels of a side of an image that keeps its own: fewer show too little
_DTYPES: dict[int, Dtype] = {8: 'uint8', 16: 'uint16'}


@dataclasses.dataclass(frozen=True)
class MixtureForm:
    """What all images are made to be.

    Attributes:
      preprocessing: size, channels, window, fit and pixels. `window` is that of DICOM and NIfTI files; pictures
        of 8 bits show their whole range, those of 16 that of their percentiles. With fit='native' images keep
        their own pixels and shape, and only those with a longer side than `resolution` shrink to it.
      depth: bits of a stored pixel, 8 or 16.
      borders: whether borders of one grey value are cut off before all else, or kept.

    Raises:
      DataError: for another depth, and for native images of no size.
    """

    preprocessing: Preprocessing
    depth: int
    borders: Borders

    def __post_init__(self) -> None:
        if self.borders not in BORDERS:
            raise DataError(f'borders={self.borders!r} must be one of {", ".join(BORDERS)}.')
        if self.depth not in _DTYPES:
            raise DataError(f'depth={self.depth} must be 8 or 16.')
        if self.is_native and self.preprocessing.resolution < SHORTEST:
            raise DataError(
                f'images cannot keep their own pixels where at most {self.preprocessing.resolution} along a side '
                f'are kept; keep {SHORTEST} or more.'
            )

    @property
    def is_native(self) -> bool:
        """Whether images keep their own pixels."""
        return self.preprocessing.fit == 'native'

    @property
    def dtype(self) -> Dtype:
        """Of the stored images."""
        return _DTYPES[self.depth]

    def find_content(self, record: Record, shortest: int = SHORTEST) -> tuple[slice, slice]:
        """Rows and columns of an image that are looked at; never fewer than it is made to have.

        Of those that keep their own, never fewer than `shortest`.
        """
        if self.borders == 'kept':
            return slice(0, record.image.shape[0]), slice(0, record.image.shape[1])
        side = shortest if self.is_native else self.preprocessing.resolution
        scale = self.preprocessing.scale(record.spacing)
        return find_content(record.image, (math.ceil(side / scale.rows), math.ceil(side / scale.columns)))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        own = self.preprocessing
        return {
            'resolution': own.resolution,
            'channels': own.channels,
            'window': own.window,
            'fit': own.fit,
            'depth': self.depth,
            'pixels': own.pixels,
            'borders': self.borders,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> 'MixtureForm':
        """What `to_dict` gave.

        Raises:
          DataError: for anything else.
        """
        try:
            window = stored['window'] if isinstance(stored['window'], str) else tuple(stored['window'])
            resolution, channels, fit = stored['resolution'], stored['channels'], stored['fit']
            pixels = stored.get('pixels', 'as_stored')  # as sets were prepared before there was a choice
            return cls(
                Preprocessing(resolution, channels, window, fit, mask_classes=0, context=0, pixels=pixels),
                stored['depth'],
                stored.get('borders', 'kept'),  # likewise
            )
        except (KeyError, TypeError) as error:
            raise DataError(f'this is not how images were prepared: {error}.') from error


@dataclasses.dataclass(frozen=True)
class Mixture:
    """What a mixed data set is made of.

    Attributes:
      reals: names of prepared data sets, whose splits stay.
      synthetic: items of each source, by its name; their label is what they show, and their split is set. A mask
        marks the pixels that were altered, where not all of them were made.
      form: how all images are made alike.
      modalities: what an image of a class is, for images whose files do not tell.
      licence: of the mixed set.
      recorded: kept in its summary, beside the form.

    Raises:
      DataError: when a source bears the name of the real ones.
    """

    reals: Sequence[str]
    synthetic: Mapping[str, Sequence[Item]]
    form: MixtureForm
    modalities: Mapping[str, str]
    licence: str
    recorded: Mapping[str, Any]

    def __post_init__(self) -> None:
        if REAL in self.synthetic:
            raise DataError(f'{REAL!r} is the class of real images; give the source another name.')


def write_mixture(
    mixture: Mixture, data_dir: Path, target: Target, refusals: Refusals, names: Pseudonyms = CLEAR
) -> dict[str, Any]:
    """Writes the set, whole or not at all; returns its summary.

    Its classes are `real` and the names of the sources; its masks are 1 where a pixel is synthetic.

    Raises:
      DataError: when a set is missing or damaged, an image cannot be made like the others without enlarging it or
        inventing grey levels, or a patient would be in two splits.
    """
    target.check_free()
    items = [item for name in mixture.reals for item in _real_items(mixture, name, data_dir)]
    for source, own in mixture.synthetic.items():
        items += [_unify_item(mixture, source, source, item) for item in own]
    recorded = {**mixture.recorded, 'form': mixture.form.to_dict()}
    options = WriteOptions(
        SplitFractions(0, 0), mixture.form.preprocessing.channels, PERCENTILES, recorded, mixture.licence
    )
    return write_dataset(items, target, options, refusals, names)


def _real_items(mixture: Mixture, name: str, data_dir: Path) -> Iterator[Item]:
    """The images of a prepared set; its patients get its name, for others may have patients of the same names."""
    for split_name, split in open_splits(name, data_dir).items():
        for item in stored_items(split, split_name, 0, lambda record: record):
            own = dataclasses.replace(item, patient=f'{REAL}/{name}/{item.patient}')
            yield _unify_item(mixture, REAL, f'{REAL}/{name}', own)


def _unify_item(mixture: Mixture, source: str, prefix: str, item: Item) -> Item:
    return Item(
        key=f'{prefix}/{item.key}',
        patient=item.patient,
        split=item.split,
        label=source,
        dtype=mixture.form.dtype,
        channels=mixture.form.preprocessing.channels,
        load=functools.partial(_load, mixture, source, prefix, item),
    )


def _load(mixture: Mixture, source: str, prefix: str, item: Item) -> Iterator[Record]:
    for record in item.load():
        own = mixture.modalities.get(item.label or '', record.modality)
        named = dataclasses.replace(record, key=f'{prefix}/{record.key}', patient=item.patient, modality=own)
        yield unify_record(named, mixture.form, is_real=source == REAL)


def unify_record(
    record: Record, form: MixtureForm, *, is_real: bool, window: str | tuple[float, float] | None = None
) -> Record:
    """One image, real or not, as all others are.

    Args:
      record: the image.
      form: what it is made to be.
      is_real: whether no pixel of it is synthetic.
      window: in which it is shown whatever the form says, for one of another depth; None for that of the form.

    Raises:
      DataError: when it is smaller than all shall be, or has fewer grey levels, which would tell it from others.
    """
    record, preprocessing = crop_record(record, form.find_content(record)), form.preprocessing
    _check_size(record, form)
    if record.image.dtype == np.uint8 and form.depth > 8 and window is None:
        raise DataError('has 8 bits, which would tell it from images of 16')
    shown = dataclasses.replace(preprocessing, window=window or _window_of(record, preprocessing.window))
    ends = resolve_window(shown, record.intensity, record.window, None)
    make = _keep_pixels if form.is_native else _fit
    image, mask, (rows, columns) = make(record, ends, shown, _find_mask(record, is_real))
    return dataclasses.replace(
        record,
        image=_quantise(image, form.dtype),
        mask=mask,
        intensity=ends,
        window=ends,
        spacing=(rows, columns, record.spacing[2]),
    )


def _check_size(record: Record, form: MixtureForm) -> None:
    height, width = record.image.shape[:2]
    if form.is_native:
        if min(height, width) < SHORTEST:
            raise DataError(f'is {height} x {width}; fewer than {SHORTEST} pixels along a side show too little')
        return
    preprocessing = form.preprocessing
    if (
        deciding_side(height, width, preprocessing.fit, preprocessing.scale(record.spacing))
        < preprocessing.resolution
    ):
        raise DataError(
            f'is {height} x {width}, and enlarging it to {preprocessing.resolution} would tell it from the others'
        )


def _fit(record: Record, ends: tuple[float, float], shown: Preprocessing, mask: Mask) -> Made:
    """Square, of the size of all."""
    height, width = record.image.shape[:2]
    return (
        preprocess_image(record.image, record.intensity, ends, shown, record.spacing),
        fit_mask(mask, shown.resolution, shown.fit, shown.scale(record.spacing)),
        shown.spacing_of(height, width, record.spacing),
    )


def _keep_pixels(record: Record, ends: tuple[float, float], shown: Preprocessing, mask: Mask) -> Made:
    """Of its own shape and pixels; shrunk by area where it is longer than all may be."""
    image, dtype = convert_channels(record.image, shown.channels), output_dtype(record.image.dtype, shown.window)
    factor = kept_scale(image.shape[:2], shown.resolution)
    if factor == 1 and dtype == image.dtype and ends == record.intensity:
        return image, mask, record.spacing[:2]  # the whole range of 8 bits, which windowing would leave as it is
    unit = apply_window(image, record.intensity, ends)
    if factor < 1:
        height, width = (max(1, round(side * factor)) for side in image.shape[:2])
        unit, mask = resample(unit, height, width), pick_nearest(mask, height, width)
    rows, columns, _ = record.spacing
    return np.rint(unit * np.float32(stored_maximum(dtype))).astype(dtype), mask, (rows / factor, columns / factor)


def kept_scale(shape: tuple[int, ...], longest: int) -> float:
    """The factor by which an image that keeps its own pixels shrinks all the same: 1 up to the longest side."""
    return min(1.0, longest / max(shape))


def crop_record(record: Record, content: tuple[slice, slice]) -> Record:
    """These rows and columns of an image and its mask."""
    mask = None if record.mask is None else record.mask[content]
    return dataclasses.replace(record, image=record.image[content], mask=mask)


def deciding_side(height: int, width: int, fit: str, scale: Scale) -> float:
    """Pixels of the side that may not be enlarged: of padded images the longer one, of others the shorter one.

    Where pixels are made square first, they count afterwards.
    """
    if fit == 'resize':
        return min(height, width)
    sides = scale.sides(height, width)
    return max(sides) if fit == 'pad' else min(sides)


def _window_of(record: Record, window: str | tuple[float, float]) -> str | tuple[float, float]:
    """The window of this image, the same rule for every class.

    Pictures have no units, so that no window in units is theirs. Those of 8 bits show their whole range, for a
    narrower one, spread over all levels, leaves gaps; those of 16 bits that of their percentiles.

    Raises:
      DataError: for floats whose whole range is wanted.
    """
    dtype = record.image.dtype
    if not is_measured(record):
        return 'stored' if dtype == np.uint8 or window == 'stored' else 'volume'
    if window == 'stored' and dtype.kind == 'f':
        raise DataError('holds floats, which have no stored range; give --window two numbers, or auto')
    if window == 'auto':
        return 'stored' if dtype == np.uint8 else 'volume'
    return window


def _find_mask(record: Record, is_real: bool) -> Mask:
    """1 where a pixel is synthetic: nowhere in a real image, everywhere in a generated one."""
    if is_real:
        return np.zeros((*record.image.shape[:2], 1), np.uint8)
    if record.mask is None:
        return np.ones((*record.image.shape[:2], 1), np.uint8)
    return (record.mask > 0).astype(np.uint8)


def _quantise(image: np.ndarray, dtype: Dtype) -> np.ndarray:
    """The common depth: 16 bits are rounded to 8 for all, or for none."""
    if image.dtype == dtype:
        return image
    return np.rint(image / 257).astype(np.uint8) if dtype == 'uint8' else image.astype(dtype)
