"""Trains a DCGAN on few images without, with fixed and with adaptive augmentation, and prints a Markdown table.

    python -m benchmarks.few_images --path=mednist --images=500 --out=runs/few_images

All arms make equal steps on the same images. The distance is that of `gan.watch` (Frechet, in random features),
but to images that no arm was trained on; its floor is that of the training images to the same. Arms that are
complete in --out are not trained again. Each cell is the mean of the seeds and their range.
"""

import datetime as dt
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from absl import app, flags, logging
from jaxtyping import Float
from ml_collections import ConfigDict

from configs.gan import dcgan
from foundation.training import logs
from gan.features import create_extractor
from gan.generator import TrainedGenerator
from gan.recipe import create_recipe
from gan.sampler import draw_images, labels_in_turn
from gan.samples import read_reals
from gan.scores.gaussian import frechet_distance
from gan.scores.neighbours import coverage
from gan.train import train_and_evaluate
from input_pipeline import prepare

_PATH = flags.DEFINE_string('path', None, 'Folder of images, a folder a class.', required=True)
_OUT = flags.DEFINE_string('out', 'runs/few_images', 'Folder for the data and the runs.')
_IMAGES = flags.DEFINE_integer('images', 500, 'Images to train on, the same share of each class.', lower_bound=32)
_HELD_OUT = flags.DEFINE_integer('held_out', 1000, 'Images to measure against.', lower_bound=32)
_RESOLUTION = flags.DEFINE_enum('resolution', '32', ['32', '64', '128'], 'Height and width.')
_WIDTH = flags.DEFINE_integer('width', 16, 'Features at that resolution, in both networks.', lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 32, 'Images of a batch.', lower_bound=2)
_LENGTH = flags.DEFINE_integer('length', 40_000, 'Images that each arm sees.', lower_bound=1)
_ADAPTATION = flags.DEFINE_integer(
    'adaptation', 20_000, 'Images in which the adaptive probability can go from 0 to 1.', lower_bound=1
)
_SEEDS = flags.DEFINE_integer('seeds', 2, 'Runs of each arm.', lower_bound=1)
_SAMPLES = 1000
_NEIGHBOURS = 5
# Translation, cutout, brightness and contrast are DiffAugment's; the rest are mild ones for grey images.
_OPERATIONS = ('translation', 'cutout', 'brightness', 'contrast', 'rotation', 'scaling', 'gamma')
ARMS = {
    'none': {},
    'differentiable': {'operations': _OPERATIONS, 'probability': 1.0},
    'adaptive': {'operations': _OPERATIONS, 'adaptive': True},
}


def main(_: Sequence[str]) -> None:
    """Prepares the images, trains what is missing, measures all."""
    logging.set_verbosity(logging.WARNING)
    logs.log_to_screen(('gan', 'foundation'))
    out = Path(_OUT.value)
    _prepare(out)
    held_out = _features(_read('held_out', _HELD_OUT.value))
    train = _features(_read('train', _IMAGES.value))
    rows = []
    for arm in ARMS:
        scores = []
        for seed in range(_SEEDS.value):
            workdir = out / f'{arm}_{seed}'
            train_and_evaluate(_config(arm, seed, 'train'), workdir)
            scores.append(_measure(workdir, held_out))
        rows.append((arm, scores))
    print(f'\n{jax.devices()[0].device_kind}, JAX {jax.__version__}, {dt.date.today()}:')
    print(f'\n    python -m benchmarks.few_images {shlex.join(sys.argv[1:])}\n')
    _print_table(rows, frechet_distance(held_out, train), coverage(held_out, train, _NEIGHBOURS))


def _prepare(out: Path) -> None:
    """Two data sets from the two halves of each class, because neighbouring files may be near-duplicates."""
    classes = [folder for folder in sorted(Path(_PATH.value).iterdir()) if folder.is_dir()]
    for number, (name, count) in enumerate([('train', _IMAGES.value), ('held_out', _HELD_OUT.value)]):
        if (out / 'data' / name).exists():
            continue
        folder = out / 'files' / name
        for place, label in enumerate(classes):
            share = count * (place + 1) // len(classes) - count * place // len(classes)
            files = sorted(path for path in label.iterdir() if path.is_file())
            half = files[: len(files) // 2] if number == 0 else files[len(files) // 2 :]
            chosen = np.linspace(0, len(half) - 1, share).round().astype(int)
            (folder / label.name).mkdir(parents=True, exist_ok=True)
            for index in chosen:
                shutil.copy(half[index], folder / label.name)
        flags_ = [f'--path={folder}', f'--name={name}', f'--data_dir={out / "data"}']
        splits = ['--validation_fraction=0', '--test_fraction=0']
        if prepare.main(['--source=image_folder', *flags_, *splits]):
            sys.exit(1)


def _read(name: str, count: int) -> Float[np.ndarray, 'count height width channel']:
    images = create_recipe(_config('none', 0, name)).open_training()
    return read_reals(images, int(_RESOLUTION.value), count)[0]


def _config(arm: str, seed: int, name: str) -> ConfigDict:
    config = dcgan.get_config()
    config.seed, config.resolution = seed, int(_RESOLUTION.value)
    config.data.name, config.data.data_dir = name, str(Path(_OUT.value) / 'data')
    config.generator.last_width = config.discriminator.first_width = _WIDTH.value
    config.schedule.batch_size = {f'at_{_RESOLUTION.value}': _BATCH_SIZE.value}
    config.schedule.stable_images = _LENGTH.value
    config.augment.images = _ADAPTATION.value
    config.augment.update(ARMS[arm])
    config.watch.images = config.run.sample_images = max(_LENGTH.value // 8, 1)
    config.watch.samples = min(_IMAGES.value, _SAMPLES)
    config.run.checkpoint_images = max(_LENGTH.value // 2, 1)
    config.run.log_images = max(_LENGTH.value // 80, 1)
    return config


def _features(images: Float[np.ndarray, 'count height width channel']) -> Float[np.ndarray, 'count feature']:
    extract = create_extractor(images.shape[1])
    return np.concatenate([np.asarray(extract(images[i : i + 250])) for i in range(0, len(images), 250)])


def _measure(workdir: Path, held_out: np.ndarray) -> dict[str, float]:
    """Distance of the best and of the last state, and coverage and probability of the last."""
    scores = {}
    for name, best in [('best', True), ('last', False)]:
        trained = TrainedGenerator.load(workdir, best=best)
        labels = labels_in_turn(_SAMPLES, trained.image_format.num_classes, None)
        drawn = [d.images for d in draw_images(trained, labels, seed=1, batch_size=250)]
        features = _features(np.concatenate(drawn))
        scores[name] = frechet_distance(held_out, features)
    scores['coverage'] = coverage(held_out, features, _NEIGHBOURS)
    lines = logs.read_metrics(workdir)
    scores['real signs'] = float(next(line['real_signs'] for line in reversed(lines) if 'real_signs' in line))
    probabilities = [line['augmentation_probability'] for line in lines if 'augmentation_probability' in line]
    scores['probability'] = float(probabilities[-1]) if probabilities else 0.0
    return scores


def _print_table(rows: list[tuple[str, list[dict[str, float]]]], floor: float, most: float) -> None:
    columns = list(rows[0][1][0])
    print(f'| augmentation | {" | ".join(columns)} |\n| --- |{" ---: |" * len(columns)}')
    for arm, scores in rows:
        cells = []
        for column in columns:
            values = [score[column] for score in scores]
            cells.append(f'{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})')
        print(f'| {arm} | {" | ".join(cells)} |')
    print(f'| the training images | {floor:.3f} | {floor:.3f} | {most:.3f} | | |')


if __name__ == '__main__':
    app.run(main)
