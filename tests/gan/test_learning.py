"""Real training on real images: hands of MedNIST, to 8x8, must come nearer to the real ones."""

import jax
import numpy as np
import pytest
import scipy.linalg

from configs.gan import small
from gan.generator import TrainedGenerator
from gan.recipe import create_recipe
from gan.sampler import draw_images
from gan.train import train_and_evaluate
from input_pipeline import prepare


def _frechet_distance(a, b):
    """Between Gaussians fitted to two sets of (count, features)."""
    (mean_a, mean_b), covariances = (a.mean(0), b.mean(0)), [np.cov(x, rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    return float(np.square(mean_a - mean_b).sum() + np.trace(sum(covariances) - 2 * root.real))


def _config(data_dir):
    config = small.get_config()
    config.resolution = 8
    config.conditional = False
    config.data.name, config.data.data_dir = 'hands', str(data_dir)
    for network in (config.generator, config.discriminator):
        network.fmap_base, network.fmap_max = 128, 32
    config.average.half_life = 1_000.0
    config.schedule.batch_size.at_4 = config.schedule.batch_size.at_8 = 16
    config.schedule.fade_images, config.schedule.stable_images = 2_400, 4_800
    config.schedule.final_images = 0
    config.watch.images = 0
    config.run.log_images = config.run.sample_images = config.run.checkpoint_images = 4_800
    config.run.checkpoints_to_keep = 10
    return config


@pytest.mark.slow
def test_training_brings_generated_hands_nearer_to_real_ones(medical_data, tmp_path):
    folder = medical_data / 'mednist' / 'Hand'
    flags = ['--source=image_folder', f'--path={folder}', '--name=hands', f'--data_dir={tmp_path}']
    assert prepare.main(flags) == 0
    config, workdir = _config(tmp_path), tmp_path / 'run'
    train_and_evaluate(config, workdir)
    images = create_recipe(config).open_training()
    real = next(images.batches(8, 0, 600, process_index=0, process_count=1))['image'].reshape(600, -1)

    def distance(step):
        trained = TrainedGenerator.load(workdir, step)
        drawn = next(draw_images(trained, np.zeros(600, np.int32), seed=0, batch_size=600)).images
        drawn = np.asarray(jax.image.resize(drawn, (600, 8, 8, 1), 'nearest'))
        return _frechet_distance(real.astype(np.float64), drawn.reshape(600, -1).astype(np.float64))

    halves = np.split(np.random.default_rng(0).permutation(real.astype(np.float64)), 2)
    floor = _frechet_distance(*halves)
    first, last = distance(300), distance(None)
    print(
        f'Frechet distance of 8x8 pixels: {first:.2f} at 4x4, {last:.2f} at the end, {floor:.2f} real against real'
    )
    assert last < first / 2
