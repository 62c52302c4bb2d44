"""Maps of where a detector looks, drawn, and put to the test."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32

from backbones.grids import save_picture
from detect.detector import TrainedDetector
from detect.evaluation.outputs import SplitOutputs
from detect.explanation import (
    curve_areas,
    deletion_curves,
    draw_heat,
    fit_scale,
    grad_cam,
    pointing_game,
    rank_correlations,
    scale_maps,
    shuffle_parameters,
)
from detect.networks import Detection
from detect.trained_network import Images
from foundation.training.state import Variables

_SCALE_QUANTILE = 0.999
_STEPS = 16
_BLANK = -1.0
_BATCH = 32
_SMALLEST = 128  # pixels of a side of an image in the picture, at least
Maps = Float32[np.ndarray, 'image height width']
PICTURE = 'maps.png'


def explain(
    detector: TrainedDetector, measured: SplitOutputs, folder: Path, *, images: int, seed: int
) -> dict[str, Any]:
    """Draws maps of some test images, and scores all kinds of maps.

    Args:
      detector, measured: see there.
      folder: for the picture.
      images: synthetic ones; as many real ones are drawn beside them.
      seed: of the choice, of random maps and of shuffled weights.
    """
    random = np.random.default_rng(seed)
    fakes, masks, reals = _choose(detector, measured, images, random)
    maps = _all_maps(detector, fakes) | {'random': random.random(fakes.shape[:3]).astype(np.float32)}
    real_maps = _all_maps(detector, reals)
    _draw(fakes, maps, reals, real_maps, detector, folder / PICTURE)
    score_of = _make_probability(detector)
    shuffled = _grad_cam(detector, fakes, _shuffled(detector, seed))
    local = ~masks.all(axis=(1, 2)) & masks.any(axis=(1, 2))
    report: dict[str, Any] = {'images': len(fakes), 'altered_in_part': int(local.sum()), 'maps': {}}
    for name, own in maps.items():
        areas = curve_areas(deletion_curves(score_of, fakes, own, steps=_STEPS, fill=_BLANK))
        report['maps'][name] = {
            'deletion_area': float(areas.mean()),
            'pointing_game': float(np.nanmean(pointing_game(own[local], masks[local], 1)))
            if local.any()
            else None,
            'share_of_masks': float(masks[local].mean()) if local.any() else None,
        }
    correlations = rank_correlations(maps['grad_cam'], shuffled)
    known = correlations[np.isfinite(correlations)]
    report['grad_cam_after_shuffling_weights'] = float(known.mean()) if len(known) else None
    return report


def _choose(
    detector: TrainedDetector, measured: SplitOutputs, count: int, random: np.random.Generator
) -> tuple[Images, Bool[np.ndarray, 'image height width'], Images]:
    """Synthetic images with their masks, those altered in part first, and real ones."""
    split = detector.recipe.data.with_every_source().open('test', train=False, mask_classes=1)
    altered = {source['name'] for source in split.options['sources'] if source['altered']}
    order = random.permutation(len(measured.labels))
    fakes = [place for place in order if measured.labels[place]]
    fakes.sort(key=lambda place: measured.sources[place] not in altered)
    wanted = set(fakes[:count]) | set([place for place in order if not measured.labels[place]][:count])
    images, masks, places, start = [], [], [], 0
    with contextlib.closing(split.in_order(detector.recipe.resolution, _BATCH)) as batches:
        for batch in batches:
            own = [row for row in range(len(batch['image'])) if start + row in wanted]
            images += [batch['image'][row][..., : split.channels] for row in own]
            masks += [batch['image'][row][..., -1] > 0 for row in own]
            places += [start + row for row in own]
            start += len(batch['image'])
    labels = measured.labels[places].astype(bool)
    pixels, marked = np.stack(images), np.stack(masks)
    return pixels[labels], marked[labels], pixels[~labels]


def _all_maps(detector: TrainedDetector, images: Images) -> dict[str, Maps]:
    """Of Grad-CAM, and of how strange the features are."""
    detection = detector.describe(images)
    scored = detector.anomalies.score(detection, *images.shape[1:3])
    return {
        'grad_cam': _grad_cam(detector, images, detector.variables),
        'anomaly': scored.maps.astype(np.float32),
    }


def _grad_cam(detector: TrainedDetector, images: Images, variables: Variables) -> Maps:
    """Grad-CAM of the first branch, the maps of the others held as they are."""
    network = detector.network

    def explain_batch(variables: Variables, images: Array) -> Array:
        detection: Detection = network.apply(variables, images, train=False)
        first, *others = detection.maps

        def decide(maps: Array) -> Array:
            return network.apply(variables, (maps, *others), network.count_lines(images), method='decide')

        return grad_cam(decide, first, *images.shape[1:3])

    compiled = jax.jit(explain_batch)
    parts = [
        np.asarray(compiled(variables, jnp.asarray(images[start : start + _BATCH])))
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def _shuffled(detector: TrainedDetector, seed: int) -> Variables:
    variables = detector.variables
    return {**variables, 'params': shuffle_parameters(variables['params'], seed)}


def _make_probability(detector: TrainedDetector) -> Callable[[Images], Float[np.ndarray, ' image']]:
    def probability(images: Images) -> Float[np.ndarray, ' image']:
        logits = np.asarray(detector.describe(images).logits, np.float64)
        return 1 / (1 + np.exp(-logits / detector.calibration.temperature))

    return probability


def _draw(
    fakes: Images,
    maps: dict[str, Maps],
    reals: Images,
    real_maps: dict[str, Maps],
    detector: TrainedDetector,
    path: Path,
) -> None:
    """Rows: real images, their Grad-CAM and anomaly maps; below the same of synthetic ones, on the same scales."""
    columns = min(8, len(fakes), len(reals))
    scale = _find_scale(np.concatenate([maps['grad_cam'], real_maps['grad_cam']]))
    rows = []
    for images, own in ((reals, real_maps), (fakes, maps)):
        grey = images[:columns].mean(axis=-1)
        rows.append([draw_heat(image, np.zeros_like(image)) for image in grey])
        heated = (scale_maps(own['grad_cam'], scale), detector.calibration.heat(own['anomaly']))
        rows += [[draw_heat(image, heat) for image, heat in zip(grey, heats, strict=False)] for heats in heated]
    picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    times = max(_SMALLEST // images.shape[1], 1)
    save_picture(picture.repeat(times, axis=0).repeat(times, axis=1), path)


def _find_scale(maps: Maps) -> float:
    """That of all maps shown; any where none of them shows evidence."""
    return fit_scale(maps, _SCALE_QUANTILE) if np.quantile(maps, _SCALE_QUANTILE) > 0 else 1.0
