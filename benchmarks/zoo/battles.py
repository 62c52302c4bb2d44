"""Each discriminator against every generator: the generative adversarial metric on trained members."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float

from foundation.training import parallel
from foundation.training.mapping import create_mapper
from gan.families.family import pair_inputs
from gan.generator import RestoredRun, TrainedGenerator, restore_state
from gan.sampler import draw_images, labels_in_turn
from gan.schedule import fade_in
from gan.scores.battles import ErrorShares, error_shares

_SEED = 1
Images = Float[np.ndarray, 'count height width channel']
Judge = Callable[[Images], Float[np.ndarray, ' count']]


def let_fight(folders: Mapping[str, Path], count: int) -> tuple[dict[str, ErrorShares], dict[str, str]]:
    """Errors of all discriminators that can judge, and why others cannot.

    Args:
      folders: workdirs of runs on the same data, by name.
      count: images of each generator, and held-out ones at most.
    """
    runs = {name: restore_state(folder, best=True) for name, folder in folders.items()}
    reasons = {name: reason for name, run in runs.items() if (reason := _find_reason(run))}
    judges = {name: run for name, run in runs.items() if name not in reasons}
    if not judges:
        return {}, reasons
    drawn = {name: _draw(folders[name], count) for name in judges}
    real = _read_held_out(next(iter(judges.values())), count)
    judged = {}
    for name, run in judges.items():
        judge = create_judge(run)
        judged[name] = error_shares(judge(real), {other: judge(images) for other, images in drawn.items()})
    return judged, reasons


def create_judge(run: RestoredRun) -> Judge:
    """Logits less their middle from a run's discriminator, of images in batches as it was trained with."""
    network = run.recipe.networks_at(run.stage.resolution, run.image_format)['discriminator']
    alpha = np.float32(fade_in(run.stage, run.position.images_seen))
    objective = run.recipe.objective

    def judge(variables, images: Array) -> Array:
        return objective.sureness(network.apply(variables, images, np.zeros(len(images), np.int32), alpha))

    mapped = create_mapper(judge, parallel.create_mesh(), run.stage.batch_size)
    return lambda images: mapped(run.state.networks['discriminator'].variables, images)


def _find_reason(run: RestoredRun) -> str:
    """Why a discriminator cannot judge; '' where it can."""
    if run.recipe.family.inputs is not pair_inputs:
        return 'its discriminator does not look at images alone'
    if not run.recipe.objective.loss.has_signs:
        return f'under the loss {run.recipe.objective.name} no sign of a logit says real or generated'
    return 'it judges images by class' if run.image_format.num_classes else ''


def _draw(folder: Path, count: int) -> Images:
    trained = TrainedGenerator.load(folder, best=True)
    labels = labels_in_turn(count, 0, None)
    batches = [drawn.images for drawn in draw_images(trained, labels, seed=_SEED, batch_size=min(count, 250))]
    return np.nan_to_num(np.concatenate(batches))


def _read_held_out(run: RestoredRun, count: int) -> Images:
    images = run.recipe.open_split('test')
    with contextlib.closing(images.in_order(run.stage.resolution, count)) as batches:
        return next(batches)['image'][..., : images.channels]
