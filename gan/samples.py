"""Images from the averaged generator while it trains: grids for people, and sets to be measured."""

import contextlib
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int, UInt8
from ml_collections import ConfigDict

import input_pipeline
from backbones.grids import draw_grid, save_picture
from foundation.training.phases import Phase
from gan import setup
from gan.latents import draw_latents
from gan.schedule import Stage
from gan.state import GanState
from gan.step import create_sampler


class Sampler:
    """Draws any number of images at every stage, always as many at a time as a grid has, by one program a stage.

    Args:
      config: of the run.
      image_format: the channels and classes of the images.
      mesh: the devices.
      stages: of the run.
    """

    def __init__(
        self, config: ConfigDict, image_format: setup.ImageFormat, mesh: Mesh, stages: tuple[Stage, ...]
    ) -> None:
        self._batch_size = config.samples.rows * config.samples.columns
        self._config, self._image_format = config, image_format
        self._samplers = {
            stage.name: create_sampler(
                setup.create_networks(config, stage.resolution, image_format)[0], mesh, self._batch_size
            )
            for stage in stages
        }

    def draw(
        self, state: GanState, phase: Phase, images_seen: int, labels: Int[np.ndarray, 'count'], seed: int
    ) -> Float[np.ndarray, 'count height width channel']:
        """Draws an image for each label; the same seed has the same latents at every stage."""
        network = self._config.generator
        latents = draw_latents(jax.random.key(seed), len(labels), network.latent_size, network.latent_distribution)
        alpha = np.float32(phase.controls(images_seen)['alpha'])
        return self._samplers[phase.name]((state.averaged('generator'), alpha), np.asarray(latents), labels)

    def draw_picture(self, state: GanState, phase: Phase, images_seen: int) -> UInt8[np.ndarray, 'height width 3']:
        """A grid of the same latents at every stage, classes in columns."""
        labels = np.arange(self._batch_size, dtype=np.int32) % max(self._image_format.num_classes, 1)
        images = self.draw(state, phase, images_seen, labels, self._config.seed)
        form = self._image_format
        return draw_grid(images, self._config.samples.columns, form.channels, form.mask_classes)


def read_reals(
    images: input_pipeline.ImageData, resolution: int, count: int
) -> tuple[Float[np.ndarray, 'count height width channel'], Int[np.ndarray, 'count']]:
    """Training images and their labels, as the networks see them.

    All processes must call it: it decodes the data, for which others would otherwise wait in vain.
    """
    batches = images.batches(resolution, 0, count, process_index=0, process_count=1)
    with contextlib.closing(batches):
        batch = next(batches)
    return batch['image'], batch['label']


def draw_reals(
    config: ConfigDict, images: input_pipeline.ImageData, form: setup.ImageFormat, path: Path, *, write: bool
) -> None:
    """Writes training images in a grid like those of the samples; see `read_reals`."""
    real, _ = read_reals(images, config.resolution, config.samples.rows * config.samples.columns)
    if write:
        save_picture(draw_grid(real, config.samples.columns, form.channels, form.mask_classes), path)
