"""Draws images from the generator in this folder: `python sample.py --out=DIR --num=16 --seed=1`.

Needs jax, flatbuffers, numpy, safetensors and pillow. Images are those of the same seed of `gan.generate`, bit for
bit on the same kind of device and with the same versions. They are synthetic, and no gate looked at them.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export
from PIL import Image, PngImagePlugin
from safetensors.numpy import load_file

FOLDER = Path(__file__).resolve().parent
Array = np.ndarray


def main() -> None:
    """Checks the folder, draws the images and writes them: PNG, or arrays of what Pillow cannot write as PNG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='new folder to write to')
    parser.add_argument('--num', type=int, default=16, help='images, classes in turn')
    parser.add_argument('--seed', type=int, default=0, help='same seed, same images')
    parser.add_argument('--label', help='draw this class only')
    given = parser.parse_args()
    if given.num < 1 or not 0 <= given.seed < 2**32:
        sys.exit('Error: --num must be at least 1, and --seed from 0 to 4294967295.')
    if given.out.exists() and (not given.out.is_dir() or any(given.out.iterdir())):
        sys.exit(f'Error: {given.out} exists already; give --out a new folder.')
    described = check(read_description())
    labels = choose(described, given.num, given.label)
    try:
        write(given.out, described, labels, given.seed)
    except OSError as error:
        sys.exit(f'Error: {given.out} cannot be written ({error.strerror or error}); nothing was kept.')
    print(f'{given.num} synthetic images, not looked at by any gate: {given.out}')


def read_description() -> dict[str, Any]:
    """What generator.json says, when it is as it was written."""
    path = FOLDER / 'generator.json'
    try:
        described = json.loads(path.read_text(encoding='utf-8'))
        told = described.pop('description_sha256')
        content = json.dumps(described, sort_keys=True, separators=(',', ':')).encode()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        sys.exit(f'Error: {path} is missing or was altered; get the folder afresh.')
    if hashlib.sha256(content).hexdigest() != told:
        sys.exit(f'Error: {path} is missing or was altered; get the folder afresh.')
    return described


def write(out: Path, described: dict[str, Any], labels: Array, seed: int) -> None:
    """Draws and writes all images beside the new folder, which then appears whole."""
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='incomplete.', dir=out.absolute().parent) as scratch:
        folder = Path(scratch) / 'new'
        folder.mkdir()
        save(folder, described, labels, seed)
        folder.rename(out.absolute())


def save(folder: Path, described: dict[str, Any], labels: Array, seed: int) -> None:
    """Draws images and writes each into a folder."""
    mark = PngImagePlugin.PngInfo()
    mark.add_text('Description', f'SYNTHETIC image, not of a person; model weights {described["weights_sha256"]}')
    for number, (image, mask) in enumerate(draw(described, labels, seed)):
        if image.shape[-1] == 1 or (image.shape[-1] == 3 and image.dtype == np.uint8):
            Image.fromarray(np.squeeze(image, -1) if image.shape[-1] == 1 else image).save(
                folder / f'{number:06d}.png', pnginfo=mark
            )
        else:
            np.save(folder / f'{number:06d}.npy', image)
        if described['config']['mask_classes']:
            Image.fromarray(mask).save(folder / f'{number:06d}_mask.png', pnginfo=mark)


def check(described: dict[str, Any]) -> dict[str, Any]:
    """The description, when all files beside it are as they were written."""
    for file in described['shards'] + described['files']:
        path = FOLDER / file['name']
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != file['sha256']:
            sys.exit(f'Error: {path} is missing or was altered; get the folder afresh.')
    return described


def choose(described: dict[str, Any], count: int, label: str | None) -> Array:
    """The class of each image; 0 where there are none."""
    classes = described['facts']['classes'] if described['config']['conditional'] else []
    if label is None:
        return np.arange(count, dtype=np.int32) % max(len(classes), 1)
    if label not in classes:
        sys.exit(f'Error: --label={label} is none of: {", ".join(classes) or "no classes"}.')
    return np.full(count, classes.index(label), np.int32)


def draw(described: dict[str, Any], labels: Array, seed: int) -> Iterator[tuple[Array, Array]]:
    """Images in the type of the data, and masks of class ids, 0 the background."""
    backend = jax.default_backend()
    path = FOLDER / f'generator-{"cuda" if backend == "gpu" else backend}.stablehlo'
    if not path.is_file():
        sys.exit(f'Error: there is no program for {backend}; set JAX_PLATFORMS=cpu to draw on CPUs.')
    program = export.deserialize(bytearray(path.read_bytes()))
    arrays: dict[str, Array] = {}
    for shard in described['shards']:
        arrays |= load_file(FOLDER / shard['name'])
    types = [given.dtype for given in program.in_avals[: len(arrays)]]  # in the order of their names
    named = zip(sorted(arrays), types, strict=True)
    weights = {name: jax.device_put(arrays[name].astype(kind)) for name, kind in named}
    alpha, compiled = np.float32(described['alpha']), jax.jit(program.call)
    (batch,), masks = program.in_avals[-1].shape, described['config']['mask_classes']
    largest = np.iinfo(described['facts']['dtype']).max
    for start in range(0, len(labels), batch):
        wanted = np.arange(start, start + batch) % len(labels)  # always so many, as the program has them
        unit = np.asarray(compiled(weights, alpha, np.uint32(seed), wanted.astype(np.int32), labels[wanted]))
        if not np.isfinite(unit).all():
            sys.exit('Error: some values are not finite: training has diverged.')
        channels = unit.shape[-1] - masks
        pixels = np.rint((unit[..., :channels] + 1) * np.float32(largest / 2)).astype(described['facts']['dtype'])
        found = unit[..., channels:]
        ids = np.where(found.max(-1) > 0, found.argmax(-1) + 1, 0) if masks else np.zeros(unit.shape[:3])
        yield from zip(pixels[: len(labels) - start], ids[: len(labels) - start].astype(np.uint8), strict=True)


if __name__ == '__main__':
    main()
