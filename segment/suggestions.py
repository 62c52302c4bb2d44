"""What a config leaves to the data, and what follows from a fingerprint of the training images (after nnU-Net)."""

import dataclasses
import functools
import logging
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

from ml_collections import ConfigDict

from backbones.images import ImageRequest, fill_channels, request_images
from configs.schema import check, walk
from configs.segment.schema import UNET
from segment.fingerprint import Fingerprint

_LARGEST_RESOLUTION = 512
_LARGEST_PATCH = 512
_PIXELS_OF_A_BATCH = 2**19
_SMALLEST_MAP = 4  # pixels of the lowest resolution
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A value for a field of the config.

    Attributes:
      field: dotted name.
      value: for it.
      reason: why.
    """

    field: str
    value: Any
    reason: str


def resolve(config: ConfigDict, look: Callable[[ImageRequest], Fingerprint]) -> Fingerprint:
    """Puts suggestions into the fields that are left to the data, and logs all, with what the config has instead.

    What depends on another field follows that field, not the suggestion for it.

    Args:
      config: of a run; it is changed.
      look: takes the fingerprint of the training images.

    Raises:
      UserError: for a value that cannot be used whatever the data are.
    """
    # So that images can be asked for, whose records are looked at.
    plain = fill_channels(check(UNET, config, left_open=True)).copy_and_resolve_references()
    plain.resolution, plain.data.window, plain.data.fit = plain.resolution or 1, 'volume', 'pad'
    request = request_images(plain, mask_classes=0, context=0, target='class', foreground_share=0.0)
    fingerprint, fields = look(request), dict(walk(UNET, config))

    def value_of(name: str) -> Any:
        return functools.reduce(operator.getitem, name.split('.'), config)

    for suggestion in _suggest(fingerprint, value_of, is_fixed=plain.data.pixels == 'resampled'):
        given = value_of(suggestion.field)
        if given == fields[suggestion.field].left_open:
            config.update_from_flattened_dict({suggestion.field: suggestion.value})
            _LOGGER.info('config.%s = %s: %s.', suggestion.field, suggestion.value, suggestion.reason)
        elif given != suggestion.value:
            _LOGGER.info(
                'config.%s = %s as configured; suggested is %s: %s.',
                suggestion.field, given, suggestion.value, suggestion.reason,
            )  # fmt: skip
    return fingerprint


def _suggest(fingerprint: Fingerprint, value_of: Callable[[str], Any], *, is_fixed: bool) -> Iterator[Suggestion]:
    """Suggestions, each made when those before it are in their fields; see `suggest_resolution`."""
    yield suggest_resolution(fingerprint, value_of('data.fit'), is_fixed=is_fixed)
    yield from suggest_reading(fingerprint, value_of('resolution'))
    yield suggest_patch(value_of('resolution'))
    yield from suggest_sizes(value_of('patch'))


def suggest_resolution(fingerprint: Fingerprint, fit: str, *, is_fixed: bool = False) -> Suggestion:
    """The side that images are made to have; images that are to stay as they are must fit.

    Args:
      fingerprint: of the images.
      fit: as configured.
      is_fixed: whether all pixels get one size in millimetres, so that nothing is resized to fit.
    """
    rescaled = None if fit == 'native' else fingerprint.rescaled_side
    largest = fingerprint.largest_side if rescaled is None else round(rescaled)
    resolution = max(math.ceil(largest / 32), 1) * 32
    if fit != 'native' and not is_fixed:
        resolution = min(resolution, _LARGEST_RESOLUTION)
    size = 'pixels' if rescaled is None else 'pixels of the wanted size'
    return Suggestion('resolution', resolution, f'the largest image has {largest} {size} a side')


def suggest_reading(fingerprint: Fingerprint, resolution: int) -> list[Suggestion]:
    """How such images are made alike at this resolution, and what their masks hold."""
    native = fingerprint.rescaled_side is None and fingerprint.largest_side <= resolution
    if fingerprint.rescaled_side is not None:
        reason = 'pixels get another size, see config.data.pixels'
    else:
        reason = 'all images fit as they are' if native else f'larger images are resized to {resolution} pixels'
    return [
        Suggestion('data.fit', 'native' if native else 'pad', reason),
        _suggest_window(fingerprint),
        Suggestion('channels', fingerprint.channels, 'as the images are stored'),
        Suggestion('mask_classes', len(fingerprint.case_shares), 'class ids in the masks'),
    ]


def suggest_patch(resolution: int) -> Suggestion:
    """What part of an image the network is trained on at a time."""
    if resolution <= _LARGEST_PATCH:
        return Suggestion('patch', resolution, 'the whole image')
    return Suggestion('patch', _LARGEST_PATCH, 'a part of the image, which memory allows')


def suggest_sizes(patch: int) -> list[Suggestion]:
    """What follows from the size of patches."""
    depth = min(max(int(math.log2(patch / _SMALLEST_MAP)), 1), 6)
    batch = min(max(_PIXELS_OF_A_BATCH // patch**2, 2), 32)
    return [
        Suggestion('network.depth', depth, f'the lowest resolution has {patch >> depth} pixels a side'),
        Suggestion('schedule.batch_size', batch, f'about {_PIXELS_OF_A_BATCH:,} pixels a step'),
    ]


def _suggest_window(fingerprint: Fingerprint) -> Suggestion:
    if set(fingerprint.modalities) == {'CT'}:
        return Suggestion('data.window', 'dataset', 'CT values mean the same in all images')
    return Suggestion('data.window', 'auto', 'each volume by its own percentiles, where it has more than 8 bits')
