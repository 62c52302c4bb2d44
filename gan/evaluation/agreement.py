"""A reference segmenter asked of generated and of held-out images: do their masks belong to them?

The segmenter is the workdir of a run of `segment.main`, of which this package knows files alone: the images go
over disk to the command `segment.arrays`, which is started here, and its masks come back. So a U-Net sees them as
its own evaluation would (windows of patches, parts taken away), held-out and generated ones alike, and no task
imports another. A program of `jax.export` would have to be written for every segmenter first, and knows nothing of
patches.
"""

import dataclasses
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float64, Int, UInt, UInt8

import input_pipeline
from backbones.images import read_facts, request_images
from backbones.windows import trained_window
from configs.schema import check
from configs.segment.schema import UNET
from foundation.commands import ask_command
from foundation.statistics.jackknife import FeatureSample, Score, deal_groups
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.generator import TrainedGenerator
from gan.scores.agreement import find_exchange, measure_agreement, score_agreement

_LOGGER = logging.getLogger(__name__)
_WORST = 12  # pairs that are shown
_SEGMENTER_FIELDS = {'patch', 'context', 'mask_classes', 'network'}


class Pairs(NamedTuple):
    """Images as they are stored, with their masks.

    Attributes:
      images: uint8 or uint16.
      masks: class ids, 0 the background.
      owners: patients, or the generated images themselves.
    """

    images: UInt[np.ndarray, 'count height width channel']
    masks: UInt8[np.ndarray, 'count height width 1']
    owners: Int[np.ndarray, 'count']


class Agreement(NamedTuple):
    """How well masks agree with what the segmenter finds.

    Attributes:
      scores: Dice by class, see `score_agreement`.
      worst: the pairs with the lowest Dice, the lowest first: images in [-1, 1] with the channels of their own
        mask, and of the mask that was found.
    """

    scores: dict[str, Score]
    worst: tuple[np.ndarray, np.ndarray]


Segment = Callable[[UInt[np.ndarray, 'count height width channel']], UInt8[np.ndarray, 'count height width 1']]


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceSegmenter:
    """A segmenter that fits a generator's masks.

    Attributes:
      workdir: of its run.
      classes: names of its foreground classes, that of id 1 first.
      data: name of the set that it was trained on.
      resolution: of the images that it sees.
      same_data: whether that is what the generator was trained on.
      segment: class ids of images as they are stored.
    """

    workdir: Path
    classes: tuple[str, ...]
    data: str
    resolution: int
    same_data: bool
    segment: Segment

    @classmethod
    def read(cls, workdir: Path, trained: TrainedGenerator) -> 'ReferenceSegmenter':
        """What the files of a run of `segment.main` tell.

        Raises:
          UserError: when the generator draws no masks, there is no such run, or it sees other images than the
            generator draws, or other masks.
        """
        if not trained.image_format.mask_classes:
            raise UserError('--segmenter compares masks, but a generator here draws none; leave it out.')
        config = workdirs.read_config(workdir)
        if not set(config.keys()) >= _SEGMENTER_FIELDS:
            raise UserError(
                f'--segmenter={workdir} holds no segmenter; name the workdir of a run of segment.main.'
            )
        config, facts = check(UNET, config), read_facts(workdir)
        form = request_images(
            config, mask_classes=config.mask_classes, context=config.context, target='class', foreground_share=0.0
        ).preprocessing
        names = tuple(config.data.class_names) or tuple(f'class {n}' for n in range(1, config.mask_classes + 1))
        own, shape = trained.recipe.images.preprocessing, trained.image_format
        theirs = {
            'channels': (shape.channels, form.channels),
            'mask classes': (shape.mask_classes, config.mask_classes),
            'slices beside each': (0, form.context),
            'dimensions': (2, config.dimensions),
            'window': (trained_window(trained.facts, own), trained_window(facts, form)),
        }
        for what, (drawn, seen) in theirs.items():
            if drawn != seen:
                raise UserError(
                    f'--segmenter={workdir} differs from the generator in its {what} ({seen}, not {drawn}); train '
                    "one on the generator's own data with segment.main."
                )
        same = facts.fingerprint == trained.facts.fingerprint
        return cls(
            workdir, names, facts.name, form.resolution, same, lambda images: ask_segmenter(workdir, images)
        )

    def describe(self) -> dict[str, Any]:
        """For reports, as JSON has it."""
        told = {'workdir': str(self.workdir), 'classes': list(self.classes)}
        return told | {'data': self.data, 'resolution': self.resolution, 'same_data': self.same_data}

    def judge(self, pairs: Pairs, group_count: int, *, real: bool) -> Agreement:
        """Dice of the segmenter's masks with those of the pairs.

        Args:
          pairs: images and masks.
          group_count: of the jackknife.
          real: whether these are real images, on which ids must mean the same.

        Raises:
          UserError: when the segmenter cannot be asked, or numbers its classes otherwise.
        """
        found, count = self.segment(pairs.images), len(self.classes)
        exchanged = find_exchange(pairs.masks, found, count) if real else None
        if exchanged:
            own, other = exchanged
            raise UserError(
                f'--segmenter={self.workdir}: where real images have class {own} of the masks, it finds its class '
                f'{other} ({self.classes[other - 1]}) rather than its class {own}; name one whose classes are '
                'numbered as in these masks, and which can tell them apart.'
            )
        dice = measure_agreement(pairs.masks, found, count)
        groups = deal_groups(pairs.owners, group_count)
        return Agreement(
            score_agreement(FeatureSample(dice, groups, group_count), self.classes),
            _find_worst(pairs, found, dice[:, -1], count),
        )


def _find_worst(
    pairs: Pairs,
    found: UInt8[np.ndarray, 'count height width 1'],
    dice: Float64[np.ndarray, 'count'],
    classes: int,
) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.argsort(dice, kind='stable')[: min(_WORST, int(np.isfinite(dice).sum()))]  # NaN comes last
    images = input_pipeline.to_unit(pairs.images[chosen])
    own, other = (input_pipeline.join_masks(images, ids[chosen], classes) for ids in (pairs.masks, found))
    return own, other


def ask_segmenter(
    workdir: Path, images: UInt[np.ndarray, 'count height width channel']
) -> UInt8[np.ndarray, 'count height width 1']:
    """Class ids that the segmenter of a run finds, by the command `segment.arrays`.

    Raises:
      UserError: with the sentence of the command, when it refuses or fails.
    """
    _LOGGER.info('%s: segmenting %d images.', workdir, len(images))
    with tempfile.TemporaryDirectory(prefix='segmented-') as name:
        file, out = Path(name) / 'images.npy', Path(name) / 'ids.npy'
        np.save(file, images, allow_pickle=False)
        flags = (f'--workdir={workdir}', f'--images={file}', f'--out={out}')
        reason = ask_command('segment.arrays', *flags, environment=_environment())
        if reason:
            raise UserError(f'--segmenter={workdir} cannot segment these images: {reason}')
        return np.load(out, allow_pickle=False)


def _environment() -> dict[str, str]:
    """On a GPU, beside this process's memory; on what one process alone can hold, as a TPU, on the CPUs."""
    added = {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
    if jax.default_backend() not in ('cpu', 'gpu'):
        added['JAX_PLATFORMS'] = 'cpu'
    return added
