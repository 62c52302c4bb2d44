"""Times the detector: a slice, a start, a CT from file to answer, and training.

    python -m benchmarks.detect

Slices have 512x512 pixels of 16 bits, radiographs 2048x2048 of 8. Two detectors are made first, of the default
network and of `patches`, with random weights but for a few steps on drawn images; times do not depend on what they
learned. An image is timed within one process, all of it: window, resampling, network, anomaly scores, verdict.
Starts and the CT are timed as commands, first with an empty cache of compiled programs, then again.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import jax
import nibabel as nib
import numpy as np
from absl import app, flags, logging

import input_pipeline
from benchmarks import machine
from configs.detect import detector
from detect import prepare
from detect.judge import open_judge
from detect.recipe import create_recipe
from detect.step import make_train_step
from detect.train import train_and_evaluate
from foundation.training import compute
from input_pipeline import prepare as prepare_real

_REPEATS = flags.DEFINE_integer('repeats', 30, 'Timed runs of a slice.', 3)
_VARIANTS = flags.DEFINE_list('variants', ['default', 'patches'], 'Of the config; starts are timed of the first.')
_SLICES = flags.DEFINE_integer('slices', 300, 'Of the CT; 0 leaves it out.', 0)
_SIDE, _RADIOGRAPH = 512, 2048
_BATCH = 32
_IMAGES = 96
_ERROR_LEVEL = 0.5  # that the few images of validation can keep


def main(_: Sequence[str]) -> None:
    """Prints three tables."""
    logging.set_verbosity(logging.WARNING)
    print(machine.describe('detect'))
    best = machine.matrix_product_flops(compute.compute_dtype('auto'))
    print(f'Matrix product {best / 1e9:.0f} GFLOP/s.\n', flush=True)
    with tempfile.TemporaryDirectory() as folder:
        workdirs = {variant: _make_detector(Path(folder), variant) for variant in _VARIANTS.value}
        _print_images(workdirs)
        _print_commands(workdirs[_VARIANTS.value[0]], Path(folder))
    _print_training(best)


def _make_detector(folder: Path, variant: str) -> Path:
    """A finished detector of a variant of the config."""
    _silently(prepare_real.main, [
        '--source=phantom', '--name=phantom_bench', f'--count={_IMAGES}', '--size=256', '--overwrite',
        '--validation_fraction=0.2', '--test_fraction=0.2', f'--data_dir={folder}',
    ])  # fmt: skip
    fakes = folder / f'fakes_{variant}'
    fakes.mkdir()
    random = np.random.default_rng(0)
    for number in range(_IMAGES):
        noise = random.integers(0, 256, (128, 128), np.uint8).repeat(2, axis=0).repeat(2, axis=1)
        cv2.imwrite(str(fakes / f'{number:04d}.png'), noise)
    _silently(prepare.main, [
        f'--name=bench_{variant}', '--real', 'phantom_bench', '--fakes', f'noise={fakes}@train',
        f'--resolution={"native" if variant == "patches" else 256}',
        '--divide=train,validation,test', f'--data_dir={folder}',
    ])  # fmt: skip
    config = detector.get_config(variant)
    config.data.name, config.data.data_dir = f'bench_{variant}', str(folder)
    config.schedule.epochs, config.schedule.batch_size, config.anomaly.images = 1, 16, 64
    workdir = folder / variant
    _silently(train_and_evaluate, config.lock(), workdir)
    return workdir


def _silently(function: Callable, *arguments: object) -> None:
    """Runs with what is printed going nowhere."""
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, 'w') as nowhere:
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        try:
            function(*arguments)
        finally:
            sys.stdout.flush()
            for number, own in enumerate(kept, start=1):
                os.dup2(own, number)
                os.close(own)


def _slice(seed: int) -> np.ndarray:
    """A smooth CT-like slice in Hounsfield units."""
    rough = np.random.default_rng(seed).normal(size=(_SIDE // 8, _SIDE // 8)).astype(np.float32)
    return cv2.resize(rough, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) * 300


def _case(images: Sequence[np.ndarray]) -> input_pipeline.Case:
    records = tuple(
        input_pipeline.Record(
            key=f'case/{number:05d}',
            image=image[..., None],
            patient='case',
            modality='CT',
            label=None,
            mask=None,
            intensity=(-1024.0, 2252.75) if image.dtype == np.uint16 else (0.0, 255.0),
            window=(-1000.0, 1000.0) if image.dtype == np.uint16 else (0.0, 255.0),
            spacing=(0.7, 0.7, 1.0),
            source='case',
        )
        for number, image in enumerate(images)
    )
    return input_pipeline.Case('case', 'case', records)


def _ct_slice(seed: int) -> np.ndarray:
    return np.clip((_slice(seed) + 1024) * 20, 0, 65535).astype(np.uint16)


def _radiograph() -> np.ndarray:
    """Smooth, with grain, within a dark border."""
    random = np.random.default_rng(0)
    smooth = cv2.resize(_slice(0), (_RADIOGRAPH - 200, _RADIOGRAPH - 100), interpolation=cv2.INTER_CUBIC)
    grain = random.normal(0, 4, smooth.shape)
    return np.pad(np.clip(smooth / 10 + 120 + grain, 1, 255), [(50, 50), (100, 100)]).astype(np.uint8)


def _print_images(workdirs: Mapping[str, Path]) -> None:
    print('| detector | images | p50 ms an image | p95 ms an image |\n| --- | --- | ---: | ---: |')
    for variant, workdir in workdirs.items():
        kinds = {
            'a slice': [_ct_slice(0)],
            f'a slice of {_BATCH}': [_ct_slice(number) for number in range(_BATCH)],
            'a radiograph': [_radiograph()],
        }
        for name, images in kinds.items():
            size = 1 if compute.on_cpu() else len(images)
            judge = open_judge(workdir, error_level=_ERROR_LEVEL, prevalence=None, batch_size=size)
            case = _case(images)
            judge.judge(case)
            repeats = _REPEATS.value if len(images) == 1 else max(_REPEATS.value // 5, 3)
            seconds = [_seconds(lambda: judge.judge(case)) / len(images) for _ in range(repeats)]  # noqa: B023
            worst = float(np.quantile(seconds, 0.95))
            middle = statistics.median(seconds)
            print(f'| {variant} | {name} | {middle * 1e3:.0f} | {worst * 1e3:.0f} |', flush=True)
    print()


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def _print_commands(workdir: Path, folder: Path) -> None:
    picture = folder / 'slice.png'
    cv2.imwrite(str(picture), np.clip((_slice(0) + 1024) / 8, 0, 255).astype(np.uint8))
    print('| command | s |\n| --- | ---: |')
    cache = folder / 'cache'
    for name in ('first start, one picture', 'second start, one picture'):
        print(f'| {name} | {_predict(workdir, picture, cache):.1f} |', flush=True)
    if _SLICES.value:
        volume = np.stack([_slice(number) for number in range(_SLICES.value)], axis=-1).astype(np.int16)
        nib.save(nib.Nifti1Image(volume, np.diag([0.7, 0.7, 1.0, 1.0])), folder / 'ct.nii.gz')
        seconds = _predict(workdir, folder / 'ct.nii.gz', cache)
        print(f'| CT of {_SLICES.value} slices, from file to answer | {seconds:.1f} |', flush=True)
    print()


def _predict(workdir: Path, path: Path, cache: Path) -> float:
    """Seconds of the whole command."""
    command = [
        sys.executable,
        '-m',
        'detect.predict',
        f'--workdir={workdir}',
        f'--error_level={_ERROR_LEVEL}',
        str(path),
    ]
    environment = os.environ | {'XDG_CACHE_HOME': str(cache)}
    return _seconds(lambda: subprocess.run(command, check=True, capture_output=True, env=environment))


def _print_training(best: float) -> None:
    print('| network | side | batch | step ms | images/s | model GFLOP/s | share |')
    print('| --- | ---: | ---: | ---: | ---: | ---: | ---: |')
    for variant in ('small', 'default'):
        config = detector.get_config(variant)
        config.data.name = 'drawn'
        recipe = create_recipe(config)
        side, size = recipe.resolution, recipe.schedule.batch_size
        step = jax.jit(
            make_train_step(
                recipe.network,
                recipe.optimizer.create(1000),
                recipe.augmentation,
                recipe.degradation,
                eps=0.0,
                attack_steps=0,
            )
        )
        state = recipe.create_state(1000, jax.random.key(0))
        images = np.random.default_rng(0).uniform(-1, 1, (size, side, side, 1)).astype(np.float32)
        batch = {'image': jax.numpy.asarray(images), 'label': jax.numpy.arange(size) % 2}
        compiled = step.lower(state, batch, jax.random.key(1), {}).compile()
        compiled(state, batch, jax.random.key(1), {})
        seconds = statistics.median(
            _seconds(lambda: compiled(state, batch, jax.random.key(1), {}))  # noqa: B023
            for _ in range(5)
        )
        rate = compiled.cost_analysis()['flops'] / seconds  # type: ignore[index]
        print(
            f'| {variant} | {side} | {size} | {seconds * 1e3:.0f} | {size / seconds:.0f} | {rate / 1e9:.0f} | '
            f'{rate / best:.0%} |',
            flush=True,
        )


if __name__ == '__main__':
    app.run(main)
