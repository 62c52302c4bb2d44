"""Tampered copies of the patients of one split: whose, where, and what makes the new content."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from detect.tampering.cubes import Cube, Region, Triple, Volume, cut_cube
from detect.tampering.inpainter import fit_inpainter
from detect.tampering.places import (
    Foreground,
    as_triple,
    choose_centres,
    choose_foreground_centres,
    keep_free_centres,
)
from detect.tampering.stacks import Listed, Stack
from detect.tampering.tampering import Inpaint, tamper, tamper_identically
from foundation.training.errors import UserError

Kind = Literal['injected', 'removed', 'identity']
Centres = Float64[np.ndarray, 'some 3']
_CUBES = 1000  # that an inpainter is trained on, about
_TRIES = 50  # random places among which one without foreground is looked for
_BATCH_SIZE = 16


class Copy(NamedTuple):
    """A tampered copy of a volume.

    Attributes:
      volume: its brightness.
      changed: where it is not as it was.
      centre: slice, row and column of what was changed.
    """

    volume: Volume
    changed: Foreground
    centre: Triple


def choose_patients(listed: Sequence[Listed], share: float, seed: int) -> set[str]:
    """A share of the patients, one at least, by a hash of their names."""
    patients = {own.patient for own in listed}

    def rank(patient: str) -> bytes:
        return hashlib.sha256(f'{seed} {patient}'.encode()).digest()

    return set(sorted(patients, key=rank)[: max(1, round(share * len(patients)))])


def fit_inpainters(
    stacks: Iterable[Stack], count: int, kind: Kind, region: Region, *, width: int, steps: int, seed: int
) -> dict[int, Inpaint]:
    """What makes new content, by the depth of its cubes: 1 for single images, the region's side for volumes.

    For lesions to be injected it learns from cubes around lesions, else from cubes whose middle shows none.

    Args:
      stacks: of one side's patients alone, one after the other.
      count: of them.
      kind: what it is for.
      region: of the cubes.
      width, steps, seed: see `fit_inpainter`.

    Raises:
      UserError: when no stack has such a place.
    """
    each, cubes = math.ceil(_CUBES / count), dict[int, list[Cube]]()
    for stack in stacks:
        random = _create_random(stack, seed, 'fitting')
        for place in _find_examples(stack, kind, region, each, random):
            cube = cut_cube(stack.volume, stack.spacing, as_triple(place), region).cube
            cubes.setdefault(len(cube), []).append(cube)
    if not cubes:
        wanted = 'anything in its mask' if kind == 'injected' else 'tissue without anything in its mask'
        raise UserError(f'no volume shows {wanted}, from which an inpainter could learn.')
    return {
        depth: fit_inpainter(np.stack(own), region, width=width, steps=steps, batch_size=_BATCH_SIZE, seed=seed)
        for depth, own in cubes.items()
    }


def tamper_stack(
    stack: Stack, copies: int, kind: Kind, region: Region, inpainters: dict[int, Inpaint], seed: int
) -> Iterator[Copy]:
    """Copies of a volume, each altered in one place, which is the same for `removed` and `identity`.

    Raises:
      UserError: when there is no such place, no inpainter for volumes of this depth, or voxels are too large.
    """
    for number in range(copies):
        random = _create_random(stack, seed, f'copy {number}')
        centre = as_triple(_find_place(stack, kind, region, random))
        if kind == 'identity':
            volume, changed = tamper_identically(stack.volume, stack.spacing, centre, random, region)
        else:
            inpaint = _inpainter_for(stack, inpainters, region)
            volume, changed = tamper(stack.volume, stack.spacing, centre, inpaint, random, region)
        yield Copy(volume, changed, centre)


def _inpainter_for(stack: Stack, inpainters: dict[int, Inpaint], region: Region) -> Inpaint:
    depth = 1 if len(stack.volume) == 1 else region.side
    if depth not in inpainters:
        raise UserError('No other volume of this depth had a place from which an inpainter could learn.')
    return inpainters[depth]


def _create_random(stack: Stack, seed: int, purpose: str) -> np.random.Generator:
    """The same draws for a volume whatever others there are."""
    digest = hashlib.sha256(f'{seed} {purpose} {stack.case.patient} {stack.case.name}'.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], 'big'))


def _find_examples(stack: Stack, kind: Kind, region: Region, count: int, random: np.random.Generator) -> Centres:
    """Places whose content an inpainter shall learn to make; fewer than `count` where they are rare."""
    foreground = stack.foreground
    try:
        if kind == 'injected':
            return choose_foreground_centres(_require(foreground), stack.spacing, region, count, random)
        centres = choose_centres(stack.volume, stack.spacing, region, count, random)
    except UserError:  # nothing to be learned here
        return np.zeros((0, 3))
    return centres if foreground is None else keep_free_centres(centres, foreground, stack.spacing, region)


def _find_place(stack: Stack, kind: Kind, region: Region, random: np.random.Generator) -> Float64[np.ndarray, '3']:
    """Lesions go where there is none, and are removed from where they are; without masks from anywhere."""
    foreground = stack.foreground
    if kind == 'injected':
        tissue = choose_centres(stack.volume, stack.spacing, region, _TRIES, random)
        free = keep_free_centres(tissue, _require(foreground), stack.spacing, region)
        if not len(free):
            raise UserError('There is no tissue without anything in its mask; cut a smaller region.')
        return free[0]
    if foreground is None:
        return choose_centres(stack.volume, stack.spacing, region, 1, random)[0]
    return choose_foreground_centres(foreground, stack.spacing, region, 1, random)[0]


def _require(foreground: Foreground | None) -> Foreground:
    if foreground is None:
        raise UserError('Injecting needs masks of what there is to inject, and the data set has none.')
    return foreground
