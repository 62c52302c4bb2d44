"""One split on disk: stored bytes to preprocessed arrays, and arrays to lower resolutions."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int64, UInt, UInt8

from input_pipeline.dataset.splits import SPLITS
from input_pipeline.dataset.summary import SUMMARY_FILE
from input_pipeline.errors import DataError, MissingSplitError, first_line
from input_pipeline.intensities import mask_channels, sloping_mask_channels
from input_pipeline.placement import fit_mask, placement
from input_pipeline.preprocessing import (
    Preprocessing,
    convert_channels,
    preprocess_image,
    resolve_window,
    stored_maximum,
)
from input_pipeline.records import Record

_DECODED = ('image', 'mask', 'label', 'intensity', 'window', 'spacing')
_DESCRIBED = ('key', 'patient', 'modality', 'spacing', 'source')
OUTSIDE = 255  # in labelled slices: a pixel beyond the image, so of no class
_UNKNOWN = (0.0, 0.0)  # spacing of sets that `prepare` did not write


def damaged(folder: Path, error: Exception | str) -> DataError:
    """What to say about a data set whose files are not as they were written."""
    reason = error if isinstance(error, str) else first_line(error)
    return DataError(f'{folder}: the data set is damaged ({reason}); prepare it again with --overwrite.')


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns whatever the libraries raise about damaged files into DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # protobuf, json, csv, array_record and zlib share no base class
        raise damaged(folder, error) from error


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a data set on disk, undecoded.

    Attributes:
      folder: where it lies.
      features: the TFDS features that decoding reads.
      all_features: those that a whole record has.
      records: serialized examples by index.
      summary: see `Summarizer.finish`; empty for sets that `prepare` did not write.
    """

    folder: Path
    features: tfds.features.FeaturesDict
    all_features: tfds.features.FeaturesDict
    records: Sequence[bytes]
    summary: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by stored label."""
        return tuple(self.features['label'].names) if 'label' in self.features else ()

    @property
    def patients_known(self) -> bool:
        """Whether the source of the data told patients; nothing of a set that `prepare` did not write tells it."""
        return not self.summary.get('unknown_patients', True)

    def read(self, index: int) -> Record:
        """One record as the readers gave it.

        Raises:
          DataError: when it is damaged, or the set was not written by `prepare`.
        """
        missing = [name for name in _DESCRIBED if name not in self.all_features]
        if missing:
            raise DataError(
                f'{self.folder.parent.name} was not written by input_pipeline.prepare: it has no {missing[0]}.'
            )
        with reading(self.folder):
            stored = self.all_features.deserialize_example_np(self.records[index])
        label = int(stored.get('label', -1))
        return Record(
            image=stored['image'],
            mask=stored.get('mask'),
            label=self.classes[label] if label >= 0 else None,
            **{name: stored[name].decode() for name in ('key', 'patient', 'modality', 'source')},
            intensity=(float(stored['intensity'][0]), float(stored['intensity'][1])),
            window=(float(stored['window'][0]), float(stored['window'][1])),
            spacing=(float(stored['spacing'][0]), float(stored['spacing'][1]), float(stored['spacing'][2])),
        )

    @property
    def dataset_window(self) -> tuple[float, float] | None:
        """Percentiles of the training split, ascending, in physical units; None where they are not known."""
        window = self.summary.get('window')
        return None if window is None else (window[0], window[1])

    @property
    def stored_dtype(self) -> np.dtype:
        """Type of the stored images."""
        return np.dtype(self.features['image'].np_dtype)


def open_split(folder: Path, split: str) -> Split:
    """Opens one split and checks that its files are there, whole.

    Raises:
      DataError: for a damaged set, one without such a split, or one that does not hold images.
    """
    with reading(folder):
        builder = tfds.builder_from_directory(folder)
        if split not in builder.info.splits:
            known = ', '.join(builder.info.splits)
            larger = f'prepare it with a larger --{split}_fraction, or name the splits'
            remedy = larger if split in SPLITS[1:] else 'name one of these'
            raise MissingSplitError(f'{folder.parent.name} has no split {split!r}, only {known}; {remedy}.')
        summary = _read_summary(folder)
        features = builder.info.features
        if 'image' not in features or len(features['image'].shape or ()) != 3:
            raise DataError(f"{folder.parent.name} has no feature 'image' of height, width and channels.")
        # Only what decoding needs is parsed. An 'image' of a class label, or a text label, is left out.
        wanted = {name: features[name] for name in _DECODED if name in features}
        if not isinstance(wanted.get('label'), tfds.features.ClassLabel):
            wanted.pop('label', None)
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        records = builder.as_data_source(split, deserialize_method=raw)
        every = {name: features[name] for name in (*wanted, *_DESCRIBED) if name in features}
        return Split(
            folder, tfds.features.FeaturesDict(wanted), tfds.features.FeaturesDict(every), records, summary
        )


def _read_summary(folder: Path) -> Mapping[str, Any]:
    if not (folder / SUMMARY_FILE).exists():
        return {}
    summary = json.loads((folder / SUMMARY_FILE).read_text(encoding='utf-8'))
    for name, size in summary['files'].items():
        if not (folder / name).is_file():
            raise damaged(folder, f'{name} is missing')
        if (folder / name).stat().st_size != size:
            raise damaged(folder, f'{name} has {(folder / name).stat().st_size} bytes, not {size}')
    return summary


@runtime_checkable
class Showing(Protocol):
    """Another way to make stored images alike than to fit them.

    Attributes:
      side: height and width of what it makes.
      varies: whether chance has a part in it, so that nothing can be kept of it.
    """

    @property
    def side(self) -> int: ...

    @property
    def varies(self) -> bool: ...

    def __call__(
        self,
        image: UInt[np.ndarray, 'height width channels'],
        mask: UInt[np.ndarray, 'height width 1'] | None,
        chance: int | None,
    ) -> tuple[UInt[np.ndarray, 'side side channels'], UInt[np.ndarray, 'side side 1'] | None]:
        """An image and its mask of class ids.

        Args:
          image, mask: as they are stored.
          chance: a number that decides; None where chance has no part.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Decodes and preprocesses examples of one split.

    Attributes:
      split: where they come from.
      preprocessing: what is done to them.
      labels: the label that each stored label becomes.
      neighbours: for every record those that are shown together: itself, between those of its context.
      showing: what is done instead of fitting images; None for that.
    """

    split: Split
    preprocessing: Preprocessing
    labels: Mapping[int, int]
    neighbours: Int64[np.ndarray, 'records shown']
    showing: Showing | None = None

    @property
    def side(self) -> int:
        """Of what is decoded, before it is halved."""
        return self.preprocessing.resolution if self.showing is None else self.showing.side

    def __call__(self, index: int, resolution: int, chance: int | None = None) -> dict[str, np.ndarray]:
        """One example: `image` (resolution, resolution, channels), `mask` (..., mask classes), `label` ().

        `chance` is for `showing`.

        Raises:
          DataError: when the record is damaged, or has mask classes that are not expected.
        """
        stored = self._read(index)
        arrays = self._fit(stored, index, resolution) if self.showing is None else self._show(stored, chance)
        for name, array in arrays.items():
            while array.shape[0] > resolution:
                array = halve(array[None])[0]
            arrays[name] = array
        return arrays | {'label': np.array(self.labels[int(stored.get('label', -1))], np.int32)}

    def labelled(
        self, index: int
    ) -> tuple[UInt[np.ndarray, 'side side channels'], UInt8[np.ndarray, 'side side']]:
        """An image and its mask of class ids, OUTSIDE where the square holds nothing of the image.

        Raises:
          DataError: when the record is damaged, or has mask classes that are not expected.
        """
        stored, wanted = self._read(index), self.preprocessing
        height, width = stored['image'].shape[:2]
        scale = wanted.scale(_spacing(stored))
        inside = placement(height, width, wanted.resolution, wanted.fit, scale)
        ids = np.full((wanted.resolution, wanted.resolution), OUTSIDE, np.uint8)
        ids[inside] = self._ids(stored)[..., 0][inside]
        return self._image(stored), ids

    def _read(self, index: int) -> Mapping[str, Any]:
        with reading(self.split.folder):
            return self.split.features.deserialize_example_np(self.split.records[index])

    def _fit(self, stored: Mapping[str, Any], index: int, resolution: int) -> dict[str, np.ndarray]:
        shown = [stored if other == index else self._read(other) for other in map(int, self.neighbours[index])]
        arrays = {'image': np.concatenate([self._image(example) for example in shown], axis=-1)}
        if self.preprocessing.mask_classes:
            arrays['mask'] = self._mask(stored, resolution)
        return arrays

    def _show(self, stored: Mapping[str, Any], chance: int | None) -> dict[str, np.ndarray]:
        assert self.showing is not None
        classes = self.preprocessing.mask_classes
        image = convert_channels(stored['image'], self.preprocessing.channels)
        shown, mask = self.showing(image, stored['mask'] if classes else None, chance)
        return {'image': shown} | ({} if mask is None else {'mask': mask_channels(mask, classes)})

    def _image(self, stored: Mapping[str, Any]) -> np.ndarray:
        image = stored['image']
        low, high = stored.get('intensity', (0, stored_maximum(image.dtype)))
        intensity = float(low), float(high)
        darkest, brightest = stored.get('window', intensity)
        volume = float(darkest), float(brightest)
        window = resolve_window(self.preprocessing, intensity, volume, self.split.dataset_window)
        return preprocess_image(image, intensity, window, self.preprocessing, _spacing(stored))

    def _ids(self, stored: Mapping[str, Any]) -> UInt8[np.ndarray, 'side side 1']:
        ids, wanted = stored['mask'], self.preprocessing
        if ids.max() > wanted.mask_classes:
            raise DataError(f'a mask has class {ids.max()}, but mask_classes is {wanted.mask_classes}.')
        return fit_mask(ids, wanted.resolution, wanted.fit, wanted.scale(_spacing(stored)))

    def _mask(self, stored: Mapping[str, Any], resolution: int) -> np.ndarray:
        fitted, wanted, classes = self._ids(stored), self.preprocessing, self.preprocessing.mask_classes
        if not wanted.mask_slope:
            return mask_channels(fitted, classes)
        # As steep in pixels of the wanted resolution, to which it is halved.
        return sloping_mask_channels(fitted, classes, wanted.mask_slope * wanted.resolution / resolution)


def _spacing(stored: Mapping[str, Any]) -> tuple[float, ...]:
    return tuple(map(float, stored.get('spacing', _UNKNOWN)))


def halve(images: UInt[np.ndarray, 'count height width channels']) -> UInt[np.ndarray, 'count _ _ channels']:
    """Means of 2x2 pixels in the stored type; halves are rounded to even, so that no level gets brighter."""
    halved = np.empty((images.shape[0], images.shape[1] // 2, images.shape[2] // 2, images.shape[3]), images.dtype)
    for start in range(0, len(images), 256):  # bounds the memory of the wider sums
        part = images[start : start + 256].astype(np.uint32)
        total = part[:, ::2, ::2] + part[:, 1::2, ::2] + part[:, ::2, 1::2] + part[:, 1::2, 1::2]
        halved[start : start + 256] = (total + 1 + ((total >> 2) & 1)) >> 2
    return halved
