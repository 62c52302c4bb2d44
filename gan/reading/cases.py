"""The cases of a study: real and generated images that went the same way, so that their pixels alone differ."""

import contextlib
import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt, UInt16

import input_pipeline
from foundation.export.folder import INDEX_FIELDS
from foundation.export.verification import check_folder
from foundation.training.errors import UserError
from gan.generator import TrainedGenerator
from gan.reading.plan import CaseImages, CaseTruth
from gan.sampler import draw_images
from input_pipeline.readers.raster import read_picture
from input_pipeline.records import PIXEL_LIMIT

_INDEX_BYTES = 2**28
_SHOWN = (1, 3)  # channels that a screen has
Labels = Int32[np.ndarray, ' count']
Stored = UInt[np.ndarray, 'count height width channel']


@dataclasses.dataclass(frozen=True, eq=False)
class RealImages:
    """A split that readers may see.

    Attributes:
      images: of it.
      split: its name.
      trained: the generator that never saw it.
    """

    images: input_pipeline.ImageData
    split: str
    trained: TrainedGenerator

    @classmethod
    def open(cls, trained: TrainedGenerator, split: str) -> 'RealImages':
        """Opens it.

        Raises:
          UserError: when the generator was trained on it or on other data, or no screen shows its channels.
          DataError: when it is missing or damaged.
        """
        if split == trained.recipe.split:
            raise UserError(
                f'The run was trained on the split {split!r}; readers compare with patients that it never saw, so '
                'name another --split.'
            )
        images = trained.recipe.open_split(split)
        if images.fingerprint != trained.facts.fingerprint:
            raise UserError(
                f'The data set {images.name!r} is not the one that the generator was trained on; prepare it as it '
                'was.'
            )
        if images.channels not in _SHOWN:
            raise UserError(f'Images have {images.channels} channels; a screen shows one (grey) or three.')
        return cls(images, split, trained)

    @property
    def usual_bits(self) -> int:
        """8 where the data are stored so, else 12, as most scanners write."""
        return 8 if self.images.stored_dtype == np.uint8 else 12

    def draw(self, count: int, seed: int, batch_size: int) -> tuple[Stored, Labels, list[int]]:
        """One image of each of so many patients: pixels, labels (-1 without one), and rows of the split.

        Args:
          count: no more than there are patients.
          seed: of the choice.
          batch_size: images at a time.
        """
        generator = np.random.default_rng(seed)
        patients = generator.permutation(np.unique(self.images.patients))[:count]
        rows = [int(generator.choice(np.flatnonzero(self.images.patients == each))) for each in patients]
        chosen = self.images.choosing(np.array(rows))
        resolution, dtype = self.trained.network.resolution, np.dtype(self.trained.facts.dtype)
        stored, labels = [], []
        with contextlib.closing(chosen.in_order(resolution, batch_size)) as batches:
            for batch in batches:
                stored.append(input_pipeline.from_unit(batch['image'][..., : self.images.channels], dtype))
                labels.append(batch['label'])
        return np.concatenate(stored), np.concatenate(labels).astype(np.int32), rows


def draw_generated(
    trained: TrainedGenerator, labels: Labels, seed: int, batch_size: int
) -> tuple[Stored, list[int]]:
    """The first images of a seed, as `gan.generate` without its gate writes them, and their numbers.

    Args:
      trained: the generator.
      labels: the classes asked for.
      seed, batch_size: see `draw_images`.

    Raises:
      UserError: when one is not finite.
    """
    wanted = np.maximum(labels, 0) if trained.image_format.num_classes else np.zeros_like(labels)
    drawn = [batch.images for batch in draw_images(trained, wanted, seed=seed, batch_size=batch_size)]
    images = np.concatenate(drawn)
    if not np.isfinite(images).all():
        raise UserError('The generator draws images that are not finite; take an earlier checkpoint.')
    return input_pipeline.from_unit(images, np.dtype(trained.facts.dtype)), list(range(len(images)))


def choose_generated(
    folder: Path, classes: Sequence[str], shape: tuple[int, ...], dtype: np.dtype, seed: int
) -> tuple[Stored, list[int], dict[str, Any]]:
    """Pictures of a folder that `gan.generate` wrote, by chance, their numbers, and the manifest of the folder.

    Args:
      folder: as it was written, of PNG files.
      classes: that are wanted, one a picture; '' for any.
      shape, dtype: that pictures must have.
      seed: of the choice.

    Raises:
      UserError: when the folder was altered, is of other files, or has too few or other pictures.
    """
    check = check_folder(folder, shown=1)
    if not check.is_whole:
        kind, names = next(iter(check.faults.items()))
        raise UserError(f'{folder} is not as it was written ({kind}: {names[0]}); gan.verify tells more.')
    if check.manifest['format'] != 'png':
        raise UserError(f'{folder} holds {check.manifest["format"]}; name a folder of gan.generate, of PNG files.')
    generator, rows = np.random.default_rng(seed), _read_index(folder)
    left = [rows[place] for place in generator.permutation(len(rows))]
    chosen = []
    for wanted in classes:
        place = next((place for place, row in enumerate(left) if wanted in ('', row['label'])), None)
        if place is None:
            raise UserError(f'{folder} has {len(rows)} images, too few{wanted and f" of the class {wanted}"}.')
        chosen.append(left.pop(place))
    images = [_read(folder / row['image'], shape, dtype) for row in chosen]
    return np.stack(images), [int(row['number']) for row in chosen], check.manifest


def _read_index(folder: Path) -> list[dict[str, str]]:
    path = folder / 'index.csv'
    if path.stat().st_size > _INDEX_BYTES:
        raise UserError(f'{path} has {path.stat().st_size} bytes, more than any index has; it was not read.')
    with path.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    listed = {row.get('image') for row in rows}
    there = {f'images/{picture.name}' for picture in (folder / 'images').iterdir()}
    if not rows or set(rows[0]) != set(INDEX_FIELDS) or not listed <= there:
        raise UserError(f'{path} does not list the images beside it; write the folder again.')
    return rows


def _read(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> UInt[np.ndarray, 'height width channel']:
    try:
        picture = read_picture(path, PIXEL_LIMIT)
    except input_pipeline.DataError as error:
        raise UserError(f'{path}: {str(error).rstrip(".")}; write the folder again.') from error
    if picture.shape != shape or picture.dtype != dtype:
        raise UserError(
            f'{path} is of {picture.shape} and {picture.dtype}, real images are of {shape} and {dtype}: readers '
            'would see it; name a folder of this run.'
        )
    return picture


def to_levels(stored: Stored, bits: int) -> CaseImages:
    """Grey levels 0 to 2^bits - 1, the same for all: narrow windows would tell the kind that has more."""
    largest = np.iinfo(stored.dtype).max
    return np.rint(stored * ((2**bits - 1) / largest)).astype(np.uint16)


def gather_cases(
    real: RealImages, count: int, *, seed: int, bits: int, generated: Path | None, batch_size: int
) -> tuple[UInt16[np.ndarray, 'case height width channel'], list[CaseTruth], dict[str, Any]]:
    """Real images and as many generated ones, of the same classes where the generator has any.

    Args:
      real: the split.
      count: of either.
      seed: of all choices.
      bits: of grey levels.
      generated: folder to take generated images from; None to draw them.
      batch_size: images at a time.

    Returns:
      Pixels and truth, the real ones first, and where they are from.
    """
    trained = real.trained
    own, labels, rows = real.draw(count, seed, batch_size)
    known = real.images.classes if trained.image_format.num_classes else ()
    names = [known[label] if known and label >= 0 else '' for label in labels]
    weights, step = trained.checksum(), trained.position.step
    if generated is None:
        made, numbers = draw_generated(trained, labels, seed, batch_size)
    else:
        made, numbers, manifest = choose_generated(generated, names, own.shape[1:], own.dtype, seed)
        weights, step = manifest['model']['weights_sha256'], manifest['model']['step']
        if (manifest['data']['fingerprint'], manifest['data']['split']) == (real.images.fingerprint, real.split):
            raise UserError(f'{generated}: its generator was trained on the split {real.split!r}; name another.')
    truth = [CaseTruth(False, name, row) for name, row in zip(names, rows, strict=True)]
    truth += [CaseTruth(True, name, number) for name, number in zip(names, numbers, strict=True)]
    sources = {
        'data': real.images.name,
        'split': real.split,
        'fingerprint': real.images.fingerprint,
        'patients_known': real.images.patients_known,
        'weights_sha256': weights,
        'step': step,
    }
    return to_levels(np.concatenate([own, made]), bits), truth, sources
