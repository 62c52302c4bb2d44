"""The three sets of an evaluation: reference and held-out real images, and generated ones."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tqdm
from jaxtyping import Int

import input_pipeline
from backbones.extractors import Extracted, Extractor
from backbones.images import ImageRequest
from foundation.files import CACHE
from foundation.software import software_version
from foundation.training import parallel
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from gan.evaluation.masks import DrawnMasks
from gan.evaluation.statistics import Batch, ImageStatistics, describe
from gan.generator import TrainedGenerator
from gan.sampler import Sampler

_CACHE = CACHE / 'references'
_CACHE_BYTES = 4 * 2**30  # of all descriptions that are kept, but for the newest
_FORMAT = 2  # of cached descriptions
_FIELDS = tuple(field.name for field in dataclasses.fields(ImageStatistics))
_LOGGER = logging.getLogger(__name__)
Extract = Callable[..., Extracted]


def create_extract(extractor: Extractor, batch_size: int) -> Extract:
    """Returns `extract(images)`: in batches over all devices, with results on the host."""
    if extractor.measures:
        return lambda images: extractor.extract(extractor.variables, images)
    mapped = create_mapper(extractor.extract, parallel.create_mesh(), batch_size)
    return lambda images: mapped(extractor.variables, images)


def describe_reals(
    trained: TrainedGenerator,
    split: str,
    extractor: Extractor,
    extract: Extract,
    batch_size: int,
) -> ImageStatistics:
    """Describes all images of a split, or reads the description of an earlier time.

    Descriptions are kept in the user's cache, readable by that user alone, as they hold some of the images.

    Args:
      trained: of the run, whose generator may draw the final resolution, or that halved some times.
      split: of its data set.
      extractor, extract: see `create_extract`.
      batch_size: images at a time.

    Raises:
      DataError: when the data set or the split is missing.
      UserError: when the data set is not what the run was trained on.
    """
    resolution = trained.network.resolution
    images = trained.recipe.open_split(split)
    if images.fingerprint != trained.facts.fingerprint:
        raise UserError(
            f'The data set {images.name!r} holds other images than when the run was trained on it; prepare the '
            'data as they were.'
        )
    path = _CACHE / f'{_cache_key(trained.recipe.images, images, split, resolution, extractor)}.npz'
    cached = _read_cache(path)
    if cached is not None and len(cached) == images.num_examples:
        _LOGGER.info('%s, %s: %d images, described before (%s).', images.name, split, len(cached), path)
        return cached
    _LOGGER.info('%s, %s: describing %d images with %s.', images.name, split, images.num_examples, extractor.name)
    with contextlib.closing(images.in_order(resolution, batch_size)) as batches:
        described = describe(
            _show(_real_batches(batches, images.channels), split, images.num_examples),
            images.num_examples,
            extract,
            images.dtype,
        )
    _write_cache(path, described)
    return described


def _real_batches(batches: Iterator[dict[str, np.ndarray]], channels: int) -> Iterator[Batch]:
    for batch in batches:
        yield Batch(batch['image'][..., :channels], batch['label'], batch['patient'])


def describe_generated(
    trained: TrainedGenerator,
    labels: Int[np.ndarray, 'count'],
    seed: int,
    extract: Extract,
    batch_size: int,
    truncation: float = math.inf,
    masks: DrawnMasks | None = None,
) -> ImageStatistics:
    """Describes an image for each label; image i is the same whatever the number of images. See `Sampler`.

    `masks` measures those of the same images, where they are drawn.
    """
    sampler = Sampler(trained.network, trained.image_format, parallel.create_mesh(), batch_size, truncation)

    def batches() -> Iterator[Batch]:
        for start in range(0, len(labels), batch_size):
            chosen = labels[start : start + batch_size]
            numbers = np.arange(start, start + len(chosen))
            drawn = sampler.draw_numbered(trained.weights, seed, numbers, chosen)
            if masks is not None:
                masks.add(drawn.images, drawn.masks)
            yield Batch(drawn.images, chosen, numbers)

    return describe(
        _show(batches(), 'generated', len(labels)), len(labels), extract, np.dtype(trained.facts.dtype)
    )


def draw_labels(reference: ImageStatistics, count: int, num_classes: int, seed: int) -> Int[np.ndarray, 'count']:
    """Classes to draw, as frequent as in the reference; 0 without a condition."""
    if not num_classes:
        return np.zeros(count, np.int32)
    order = np.random.default_rng(seed).permutation(len(reference))
    return reference.labels[order[np.arange(count) % len(order)]].astype(np.int32)


def _show(batches: Iterator[Batch], name: str, count: int) -> Iterator[Batch]:
    with tqdm.tqdm(total=count, unit=' images', desc=name) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch.images))


def _cache_key(
    request: ImageRequest, images: input_pipeline.ImageData, split: str, resolution: int, extractor: Extractor
) -> str:
    """A checksum of all that decides a description, the version of the networks' code among it."""
    form = request.preprocessing
    chosen = [request.modalities, request.classes]
    made = [form.window, form.fit, form.pixels, form.resolution, form.channels]
    decides = [_FORMAT, images.fingerprint, split, chosen, made, resolution]
    network = [extractor.name, extractor.checksum, extractor.resize, extractor.classes, extractor.temperature]
    text = json.dumps([software_version(), *decides, *network])
    return hashlib.sha256(text.encode()).hexdigest()


def _read_cache(path: Path) -> ImageStatistics | None:
    """What was written; None where there is nothing, or nothing that can be read."""
    try:
        with path.open('rb') as file, np.load(file, allow_pickle=False) as arrays:
            described = ImageStatistics(**{name: arrays[name] for name in _FIELDS})
        os.utime(path)  # what is used stays
    except Exception:  # whatever a damaged archive makes its readers raise, describing anew mends it
        return None
    return described


def _write_cache(path: Path, described: ImageStatistics) -> None:
    """Keeps a description; where that is impossible, it is made anew the next time."""
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'wb') as file:
            np.savez(file, **{name: getattr(described, name) for name in _FIELDS})
        os.replace(temporary, path)
        _remove_oldest(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _LOGGER.warning('No description can be kept in %s; it is made anew next time (%s).', path.parent, error)


def _remove_oldest(newest: Path) -> None:
    """Removes the descriptions that were not used for longest until the rest is small enough."""
    others = [path for path in newest.parent.glob('*.npz') if path != newest]
    left = _CACHE_BYTES - newest.stat().st_size
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        left -= path.stat().st_size
        if left < 0:
            path.unlink(missing_ok=True)
