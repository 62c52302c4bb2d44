"""Drawing images from a trained generator, as a function of the seed and the image's number alone."""

import csv
import dataclasses
import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import tifffile
import tqdm
from jaxtyping import Array, Float, Int, UInt8

import input_pipeline
from gan.latents import draw_latents
from gan.restoring import TrainedGenerator
from training import parallel
from training import workdir as workdirs
from training.errors import UserError

INDEX_FIELDS = ('image', 'mask', 'label', 'number', 'intensity_low', 'intensity_high')


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A batch of generated images.

    Attributes:
      images: in [-1, 1], clipped.
      masks: class ids, 0 the background; no class where masks are not modelled.
      labels: the classes asked for; 0 where there is no condition.
    """

    images: Float[np.ndarray, 'batch height width channel']
    masks: UInt8[np.ndarray, 'batch height width 1']
    labels: Int[np.ndarray, 'batch']


def draw_images(
    trained: TrainedGenerator, count: int, *, seed: int, batch_size: int, label: int | None
) -> Iterator[Drawn]:
    """Draws `count` images in batches.

    The latents of image i come from fold_in(key(seed), i). Classes are drawn evenly in turn, or all are `label`.
    """
    network, form = trained.network, trained.image_format
    replicated = parallel.replicated(parallel.create_mesh())

    def sample(variables, numbers: Int[Array, 'batch'], labels: Int[Array, 'batch']) -> Array:
        key = jax.random.key(seed)
        keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
        draw = functools.partial(
            draw_latents, count=1, size=network.latent_size, distribution=network.latent_distribution
        )
        latents = jax.vmap(draw)(keys)[:, 0]
        return jnp.clip(network.apply(variables, latents, labels, trained.alpha), -1, 1)

    compiled = jax.jit(sample, out_shardings=replicated)
    for start in range(0, count, batch_size):
        # The last batch is drawn whole and cut, so that every image comes from the same program.
        numbers = np.arange(start, start + batch_size, dtype=np.int32)
        labels = numbers % max(form.num_classes, 1) if label is None else np.full_like(numbers, label)
        drawn = np.asarray(compiled(trained.variables, numbers, labels))[: count - start]
        images, masks = input_pipeline.split_masks(drawn, form.channels, form.mask_classes)
        yield Drawn(np.asarray(images), np.asarray(masks, np.uint8), labels[: count - start])


def write_images(
    trained: TrainedGenerator, out: Path, count: int, *, seed: int, batch_size: int, label: int | None
) -> None:
    """Writes images/, masks/ where they are modelled, index.csv and generated.json into a new folder `out`.

    Everything is written beside it first, so that a folder that exists is whole.

    Raises:
      UserError: when `out` exists and is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f'{out} exists already; give --out a new folder.')
    out = out.absolute()
    partial = out.with_name(f'{out.name}.partial-{os.getpid()}')
    try:
        (partial / 'images').mkdir(parents=True)
        rows = _write_all(trained, partial, count, seed, batch_size, label)
        _write_index(partial / 'index.csv', rows)
        workdirs.write_json(partial / 'generated.json', _describe(trained, count, seed))
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_all(
    trained: TrainedGenerator, folder: Path, count: int, seed: int, batch_size: int, label: int | None
) -> list[dict[str, str | int | float]]:
    rows: list[dict[str, str | int | float]] = []
    dtype = np.uint8 if trained.facts.dtype == 'uint8' else np.uint16
    low, high = trained.facts.intensity or ('', '')
    with tqdm.tqdm(total=count, unit=' images') as bar:
        for drawn in draw_images(trained, count, seed=seed, batch_size=batch_size, label=label):
            stored = input_pipeline.from_unit(drawn.images, dtype)
            for image, mask, label_id in zip(stored, drawn.masks, drawn.labels, strict=True):
                number = len(rows)
                rows.append(
                    {
                        'image': _write_image(folder, f'images/{number:06d}', image),
                        'mask': '',
                        'label': trained.facts.classes[label_id] if trained.image_format.num_classes else '',
                        'number': number,
                        'intensity_low': low,
                        'intensity_high': high,
                    }
                )
                if trained.image_format.mask_classes:
                    (folder / 'masks').mkdir(exist_ok=True)
                    rows[-1]['mask'] = _write_image(folder, f'masks/{number:06d}', mask)
            bar.update(len(stored))
    return rows


def _write_image(folder: Path, stem: str, image: np.ndarray) -> str:
    """PNG of 1 or 3 channels, TIFF of any other number; returns the name."""
    if image.shape[-1] not in (1, 3):
        tifffile.imwrite(folder / f'{stem}.tif', np.moveaxis(image, -1, 0), photometric='minisblack')
        return f'{stem}.tif'
    encoded, content = cv2.imencode('.png', image[..., ::-1])
    if not encoded:
        raise UserError(f'{stem}.png of shape {image.shape} and type {image.dtype} could not be encoded.')
    (folder / f'{stem}.png').write_bytes(content.tobytes())
    return f'{stem}.png'


def _write_index(path: Path, rows: list[dict[str, str | int | float]]) -> None:
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, INDEX_FIELDS, lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


def _describe(trained: TrainedGenerator, count: int, seed: int) -> dict[str, str | int | float]:
    return {
        'synthetic': 'yes',
        'model_sha256': trained.checksum(),
        'step': trained.position.step,
        'images_seen': trained.position.images_seen,
        'alpha': trained.alpha,
        'data': trained.facts.name,
        'data_fingerprint': trained.facts.fingerprint,
        'count': count,
        'seed': seed,
    }
