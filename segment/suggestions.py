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
from foundation.training.compute import on_cpu
from input_pipeline import DepthGrid, Preprocessing
from segment.fingerprint import Fingerprint

_LARGEST_RESOLUTION = 512
_LARGEST_PATCH = 512
_PIXELS_OF_A_BATCH = 2**19
_VOXELS_OF_A_PATCH = {'cpu': 2**18, 'accelerator': 2**21}
_SMALLEST_MAP = 4  # pixels, or slices, of the lowest resolution
_SMALLEST_SIDE, _SIDE_STEP = 32, 16  # of the patches of volumes
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
    is_fixed = plain.data.pixels == 'resampled'

    def value_of(name: str) -> Any:
        return functools.reduce(operator.getitem, name.split('.'), config)

    if plain.dimensions == 3:
        suggested = _suggest_volumes(fingerprint, value_of, request.preprocessing, is_fixed=is_fixed)
    else:
        suggested = _suggest(fingerprint, value_of, is_fixed=is_fixed)
    for suggestion in suggested:
        given = value_of(suggestion.field)
        given = tuple(given) if isinstance(given, list) else given
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


def _suggest_volumes(
    fingerprint: Fingerprint, value_of: Callable[[str], Any], preprocessing: Preprocessing, *, is_fixed: bool
) -> Iterator[Suggestion]:
    """As `_suggest`, for volumes."""
    yield suggest_resolution(fingerprint, value_of('data.fit'), is_fixed=is_fixed)
    yield from suggest_reading(fingerprint, value_of('resolution'))
    yield suggest_distance(fingerprint)
    grid = measure_grid(
        fingerprint,
        dataclasses.replace(preprocessing, resolution=value_of('resolution'), fit=value_of('data.fit')),
        value_of('volume.distance'),
    )
    largest = _VOXELS_OF_A_PATCH['cpu' if on_cpu() else 'accelerator']
    yield from suggest_volume_patch(grid, value_of('resolution'), largest)
    slices, side = value_of('volume.slices'), value_of('patch')
    yield suggest_depth(side)
    yield from suggest_levels(grid, slices, value_of('network.depth'))
    yield suggest_batch('voxels', slices * side**2)


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
    return [suggest_depth(patch), suggest_batch('pixels', patch**2)]


def suggest_depth(patch: int) -> Suggestion:
    """How often the plane is halved."""
    depth = min(max(int(math.log2(patch / _SMALLEST_MAP)), 1), 6)
    return Suggestion('network.depth', depth, f'the lowest resolution has {patch >> depth} pixels a side')


def suggest_batch(unit: str, size: int) -> Suggestion:
    """How many patches of so many pixels, or voxels, make a batch."""
    batch = min(max(_PIXELS_OF_A_BATCH // size, 2), 32)
    return Suggestion('schedule.batch_size', batch, f'about {_PIXELS_OF_A_BATCH:,} {unit} a step')


@dataclasses.dataclass(frozen=True)
class VolumeGrid:
    """The median volume as the network sees it.

    Attributes:
      slices: that it has.
      ratio: distance of its slices as a multiple of that of its pixels; 1.0 where one is not known.
    """

    slices: int
    ratio: float


def measure_grid(fingerprint: Fingerprint, preprocessing: Preprocessing, distance: float) -> VolumeGrid:
    """What becomes of the median volume.

    Args:
      fingerprint: of the volumes.
      preprocessing: of their slices.
      distance: millimetres between slices that they are resampled to; not above 0 for none.
    """
    stored, *plane = fingerprint.spacing
    count = DepthGrid.create(round(fingerprint.slices[1]), stored, distance).count
    height, width = round(fingerprint.height[1]), round(fingerprint.width[1])
    pixel = min(preprocessing.spacing_of(height, width, tuple(plane))) if min(plane) > 0 else 0.0
    between = distance if distance > 0 and stored > 0 else stored
    return VolumeGrid(count, between / pixel if pixel > 0 and between > 0 else 1.0)


def suggest_distance(fingerprint: Fingerprint) -> Suggestion:
    """At which distance the slices of all volumes are."""
    if fingerprint.spacing[0] > 0:
        return Suggestion('volume.distance', fingerprint.spacing[0], 'the median of the training volumes')
    return Suggestion('volume.distance', -1.0, 'the distance of the slices is not known')


def suggest_volume_patch(grid: VolumeGrid, resolution: int, largest: int) -> list[Suggestion]:
    """What part of a volume the network is trained on at a time: as cubic as its size allows.

    Args:
      grid: the median volume.
      resolution: height and width of its slices.
      largest: voxels of a patch.
    """
    side, slices = resolution, max(grid.slices, 1)
    while slices * side**2 > largest and (side > _SMALLEST_SIDE or slices > _SMALLEST_MAP):
        if side > _SMALLEST_SIDE and (side >= slices * grid.ratio or slices <= _SMALLEST_MAP):
            side = max(_SMALLEST_SIDE, (side - 1) // _SIDE_STEP * _SIDE_STEP)
        else:
            slices = max(_SMALLEST_MAP, slices * 7 // 8)
    strides, _ = plan_levels(grid.ratio, slices, 6)
    multiple = math.prod(strides)
    slices = math.ceil(slices / multiple) * multiple
    size = 'the whole plane' if side == resolution else f'about {largest:,} voxels, which memory allows'
    depth = f'the median volume has {grid.slices}' + (', memory allows fewer' if slices < grid.slices else '')
    return [Suggestion('patch', side, size), Suggestion('volume.slices', slices, depth)]


def plan_levels(ratio: float, slices: int, halvings: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides and kernels along the depth (nnU-Net): as long as slices are twice as far apart as pixels, or more,
    they are neither halved nor seen together; later they are, as pixels are.

    Args:
      ratio: distance of slices as a multiple of that of pixels.
      slices: of a patch.
      halvings: of the plane.
    """
    strides: list[int] = []
    kernels = [3 if ratio < 2 else 1]
    for _ in range(halvings):
        near = ratio < 2
        strides.append(2 if near and slices >= 2 * _SMALLEST_MAP else 1)
        slices, ratio = math.ceil(slices / strides[-1]), ratio * strides[-1] / 2
        kernels.append(3 if ratio < 2 else kernels[-1])
    kernels[-1] = 3
    return tuple(strides), tuple(kernels)


def suggest_levels(grid: VolumeGrid, slices: int, halvings: int) -> list[Suggestion]:
    """Strides and kernels along the depth; see `plan_levels`."""
    strides, kernels = plan_levels(grid.ratio, slices, halvings)
    apart = f'slices are {grid.ratio:.3g} times as far apart as pixels'
    lowest = math.ceil(slices / math.prod(strides))
    return [
        Suggestion('volume.strides', strides, f'{apart}; the lowest resolution has {lowest} slices'),
        Suggestion('volume.kernels', kernels, f'{apart}; below twice as far they are seen together'),
    ]


def _suggest_window(fingerprint: Fingerprint) -> Suggestion:
    if set(fingerprint.modalities) == {'CT'}:
        return Suggestion('data.window', 'dataset', 'CT values mean the same in all images')
    return Suggestion('data.window', 'auto', 'each volume by its own percentiles, where it has more than 8 bits')
