"""What a trained member is worth, as one row: scores of `gan.evaluate`, Parzen log-likelihood, size and speed."""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from backbones.extractors import Extractor
from benchmarks.zoo.training import images_trained
from foundation.statistics.jackknife import FeatureSample
from gan.evaluation.evaluation import Evaluated, GeneratorProtocol, Reals, evaluate
from gan.evaluation.report import create_report, describe_score, write_evaluation
from gan.evaluation.statistics import ImageStatistics
from gan.scores.parzen import choose_bandwidth, parzen_score

SCORES = ('frechet_distance', 'recall', 'am_score', 'mode_score')
_BATCH = 128


def measure(workdir: Path, extractor: Extractor, count: int, seconds: float) -> dict[str, Any]:
    """A row of the best state by the watch; the whole evaluation is left in the workdir.

    Args:
      workdir: of a run that was trained.
      extractor: that tells the data's own classes.
      count: images to draw.
      seconds: that it was trained.

    Raises:
      UserError: when no state of the final resolution was kept, or no image is finite.
    """
    protocol = GeneratorProtocol(
        count=count,
        seed=0,
        reference='train',
        held_out='test',
        step=None,
        best=True,
        batch_size=_BATCH,
        segmenter=None,
    )
    reals, (evaluated,) = evaluate([workdir], extractor, protocol)
    report = create_report(reals, [evaluated], extractor, protocol)
    write_evaluation(workdir / 'evaluation', report, reals, [evaluated])
    (run,) = report['runs']
    images = images_trained(workdir)
    return {
        'parameters': count_parameters(evaluated),
        'images': images,
        's/1000 images': 1000 * seconds / max(images, 1),
        'best at': run['images_seen'],
        'held out': report['data']['floor_images'],
        'scores': {name: run['scores'][name] for name in SCORES},
        'parzen': _measure_parzen(evaluated, reals),
    }


def count_parameters(evaluated: Evaluated) -> dict[str, int]:
    """Of each network by name."""
    trained = evaluated.run.trained
    state = trained.recipe.abstract_state(trained.recipe.resolution, trained.image_format)
    return {
        name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(network.params))
        for name, network in state.networks.items()
    }


def _measure_parzen(evaluated: Evaluated, reals: Reals) -> dict[str, Any]:
    """Of held-out images, with a width from training images; the floor has these in place of generated ones."""
    generated, training, groups = evaluated.generated, reals.training, reals.group_count
    held_out, pixels = _sample(reals.held_out, groups), _pixels(training)
    width = choose_bandwidth(_pixels(generated), pixels)
    floor_width = choose_bandwidth(pixels[::2], pixels[1::2])  # no image under a Gaussian of its own
    return {
        **describe_score(parzen_score(_sample(generated, groups), held_out, width)),
        'floor': describe_score(parzen_score(_sample(training, groups), held_out, floor_width)),
    }


def _pixels(described: ImageStatistics) -> Float[np.ndarray, 'count pixel']:
    """The kept images as vectors in [0, 1]."""
    pixels = described.pixels
    return pixels.reshape(len(pixels), -1) / np.iinfo(pixels.dtype).max


def _sample(described: ImageStatistics, groups: int) -> FeatureSample:
    return FeatureSample(_pixels(described), described.groups(groups)[described.pixel_rows], groups)
