"""The type of a data set, and one record in the bytes that are stored."""

import collections
import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float32, Shaped

from foundation.export.pictures import encode_png
from input_pipeline.dataset.plausibility import Look, look_at
from input_pipeline.errors import DataError, as_text
from input_pipeline.preprocessing import convert_channels, stored_maximum
from input_pipeline.records import Dtype, Item, Record

_WIDTH = {'uint8': 0, 'uint16': 1, 'float32': 2}
_PNG_CHANNELS = (1, 3, 4)
_SAMPLES_PER_RECORD = 1024


@dataclasses.dataclass(frozen=True)
class RecordStorage:
    """What every record of one data set has in common.

    Attributes:
      dtype: the widest type among the items.
      channels: channels of every stored image.
      classes: class names in order; empty where no item has a label.
    """

    dtype: Dtype
    channels: int
    classes: tuple[str, ...]

    @property
    def is_png(self) -> bool:
        """Whether images are stored as PNG; other types and channel counts become compressed tensors."""
        return self.dtype != 'float32' and self.channels in _PNG_CHANNELS


@dataclasses.dataclass(frozen=True)
class Encoded:
    """One record ready to be written, and what the summary wants to know about it.

    Attributes:
      example: values for the TFDS features.
      record: the record without its pixels.
      height: of the stored image, in pixels.
      width: likewise.
      extremes: lowest and highest physical value.
      samples: physical values of evenly spread pixels, for the percentiles of the data set.
      mask_ids: class ids in the mask, None without a mask.
      foreground: pixels of the mask that are not background.
      is_two_valued: whether the image holds two values only, as masks do.
      digest: SHA-256 of the stored pixels and fields; it does not depend on how they are compressed.
      look: what is seen of the image.
    """

    example: Mapping[str, Any]
    record: Record
    height: int
    width: int
    extremes: tuple[float, float]
    samples: Float32[np.ndarray, ' samples']
    mask_ids: tuple[int, ...] | None
    foreground: int
    is_two_valued: bool
    digest: bytes
    look: Look


def choose_storage(items: Sequence[Item], channels: int | None) -> RecordStorage:
    """The common type: the widest dtype, the given or else most frequent channel count, all class names."""
    counts = collections.Counter(item.channels for item in items)
    return RecordStorage(
        dtype=max((item.dtype for item in items), key=_WIDTH.__getitem__),
        channels=channels or min(counts, key=lambda count: (-counts[count], count)),
        classes=tuple(sorted({item.label for item in items if item.label is not None})),
    )


def create_features(storage: RecordStorage, has_masks: bool) -> tfds.features.FeaturesDict:
    """The TFDS features of a data set; `label`, `mask` only where there are any."""
    shape, dtype = (None, None, storage.channels), np.dtype(storage.dtype).type
    features: dict[str, Any] = {
        'image': tfds.features.Image(shape=shape, dtype=dtype, encoding_format='png')
        if storage.is_png
        else tfds.features.Tensor(shape=shape, dtype=dtype, encoding='zlib'),
        'intensity': tfds.features.Tensor(shape=(2,), dtype=np.float32),
        'window': tfds.features.Tensor(shape=(2,), dtype=np.float32),
        'spacing': tfds.features.Tensor(shape=(3,), dtype=np.float32),
        **{name: tfds.features.Text() for name in ('key', 'patient', 'modality', 'source')},
    }
    if has_masks:
        features['mask'] = tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format='png')
    if storage.classes:
        features['label'] = tfds.features.ClassLabel(names=storage.classes)
    return tfds.features.FeaturesDict(features)


def widen(
    image: Shaped[np.ndarray, 'height width channels'], dtype: Dtype
) -> Shaped[np.ndarray, 'height width channels']:
    """Promotes stored values so that their physical meaning stays: the ends of both types coincide.

    Raises:
      DataError: when the image has a wider type than `dtype`.
    """
    if image.dtype == dtype:
        return image
    if _WIDTH[image.dtype.name] > _WIDTH[dtype]:
        raise DataError(f'its pixels are {image.dtype}, wider than the {dtype} its header announced')
    if dtype == 'uint16':
        return image.astype(np.uint16) * np.uint16(257)
    return (image / stored_maximum(image.dtype)).astype(np.float32)


def _check(record: Record, image: Shaped[np.ndarray, 'height width channels']) -> None:
    if not np.isfinite([*record.intensity, *record.window]).all():
        raise DataError('its intensity range is not finite')
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise DataError('it has pixels that are not finite (NaN or infinity)')
    if record.mask is not None and record.mask.shape != (*image.shape[:2], 1):
        raise DataError(f'its mask is {record.mask.shape[:2]}, the image {image.shape[:2]} (height, width)')


def _digest(fields: Mapping[str, Any], *arrays: Shaped[np.ndarray, '...'] | None) -> bytes:
    """Hash of the stored content, the same whatever compressor wrote it."""
    content = hashlib.sha256(json.dumps(fields, sort_keys=True, default=lambda array: array.tolist()).encode())
    for array in arrays:
        if array is not None:
            content.update(f'{array.dtype.str}{array.shape}'.encode())
            content.update(np.ascontiguousarray(array).data)
    return content.digest()


def _texts_and_numbers(record: Record, item: Item, storage: RecordStorage) -> dict[str, Any]:
    """All of an example but its pixels."""
    fields: dict[str, Any] = {
        'key': as_text(record.key),
        'patient': item.patient,
        'modality': record.modality,
        'source': as_text(record.source),
        **{name: np.array(getattr(record, name), np.float32) for name in ('intensity', 'window', 'spacing')},
    }
    if storage.classes:
        fields['label'] = -1 if item.label is None else storage.classes.index(item.label)
    return fields


def encode_record(record: Record, item: Item, storage: RecordStorage) -> Encoded:
    """Converts one record to the type of its data set and encodes it.

    Patient and label are the item's, as the splits were made by them.

    Raises:
      DataError: when the image cannot be converted, has values that are not finite, or another size than
        its mask.
    """
    image = np.ascontiguousarray(widen(convert_channels(record.image, storage.channels), storage.dtype))
    _check(record, image)
    low, high = record.intensity
    step = (high - low) / stored_maximum(image.dtype)
    ends = sorted((low + step * float(image.min()), low + step * float(image.max())))
    spread = np.linspace(0, image.size - 1, min(image.size, _SAMPLES_PER_RECORD)).astype(np.int64)
    sampled = image.reshape(-1)[spread]
    counts = None if record.mask is None else np.bincount(record.mask.ravel())
    fields = _texts_and_numbers(record, item, storage)
    example = fields | {'image': io.BytesIO(encode_png(image)) if storage.is_png else image}
    if record.mask is not None:
        example['mask'] = io.BytesIO(encode_png(record.mask))
    return Encoded(
        example=example,
        record=dataclasses.replace(
            record,
            key=fields['key'],
            image=image[:0],
            patient=item.patient,
            label=item.label,
            mask=None,
            source=fields['source'],
        ),
        height=image.shape[0],
        width=image.shape[1],
        extremes=(ends[0], ends[1]),
        samples=(low + step * sampled).astype(np.float32),
        mask_ids=None if counts is None else tuple(np.flatnonzero(counts).tolist()),
        foreground=0 if counts is None else int(counts[1:].sum()),
        is_two_valued=len(np.unique(sampled)) <= 2 and len(np.unique(image)) == 2,
        digest=_digest(fields, image, record.mask),
        look=look_at(record, image),
    )
