"""What the gate would have caught: copies of training images, altered in known ways, are put before it."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Int

from foundation.statistics.jackknife import Missing
from foundation.statistics.proportions import share_interval
from gan.release.guard import ReleaseGuard
from gan.release.membership import attack, highest_area

PATIENTS = 200  # of whom an image each is copied
SHARES = (0.001, 0.005, 0.01, 0.05)  # of the generated images that are copies
REPEATS = 10
Image = Float[np.ndarray, 'height width channel']
Images = Float[np.ndarray, 'image height width channel']
Alteration = Callable[[Image, Image, np.random.Generator], Image]


def _turn(degrees: float) -> Alteration:
    return lambda image, other, generator: scipy.ndimage.rotate(
        image, degrees, axes=(0, 1), reshape=False, order=1, mode='nearest'
    )


def _shift(share: float) -> Alteration:
    def apply(image: Image, other: Image, generator: np.random.Generator) -> Image:
        down, across = (max(round(share * side), 1) for side in image.shape[:2])
        padded = np.pad(image, ((down, 0), (across, 0), (0, 0)), mode='edge')
        return padded[: image.shape[0], : image.shape[1]]

    return apply


def _zoom(factor: float) -> Alteration:
    def apply(image: Image, other: Image, generator: np.random.Generator) -> Image:
        middle = (np.array(image.shape[:2]) - 1) / 2
        matrix = np.diag([1 / factor, 1 / factor, 1])
        offset = np.append(middle - middle / factor, 0)
        return scipy.ndimage.affine_transform(image, matrix, offset, order=1, mode='nearest')

    return apply


def _blur(share: float) -> Alteration:
    return lambda image, other, generator: scipy.ndimage.gaussian_filter(
        image, (share * image.shape[0], share * image.shape[1], 0), mode='nearest'
    )


# What a generator that repeats a patient might make of it; lengths are shares of a side, greys of the range.
COPIES: Mapping[str, Alteration] = {
    'as it is': lambda image, other, generator: image,
    'mirrored': lambda image, other, generator: image[:, ::-1],
    'half the contrast': lambda image, other, generator: image / 2,
    'shifted by 1/64 of a side': _shift(1 / 64),
    'shifted by a tenth': _shift(0.1),
    'turned by 5 degrees': _turn(5),
    'turned by 90 degrees': _turn(90),
    'enlarged by 5%': _zoom(1.05),
    'enlarged by a fifth': _zoom(1.2),
    'blurred by 1/64 of a side': _blur(1 / 64),
    'noise of 5%': lambda image, other, generator: image + generator.normal(0, 0.1, image.shape),
    'noise of 15%': lambda image, other, generator: image + generator.normal(0, 0.3, image.shape),
    'a quarter of another patient': lambda image, other, generator: 0.75 * image + 0.25 * other,
    'half of another patient': lambda image, other, generator: (image + other) / 2,
}


@dataclasses.dataclass(frozen=True)
class CopiesFound:
    """How many copies of a kind the gate withholds.

    Attributes:
      kind: of `COPIES`.
      share: of the copies, that are withheld.
      interval: of 95%, over patients; None for one.
      count: copies, of a patient each.
    """

    kind: str
    share: float
    interval: tuple[float, float] | None
    count: int


@dataclasses.dataclass(frozen=True)
class CopiesPlanted:
    """What the membership attack says of a generator of whose images some are copies.

    Attributes:
      share: of the images, that are copies of training images as they are, each of another image.
      area: mean of the attack's areas.
      fails: share of the repetitions in which the release fails by the attack.
    """

    share: float
    area: float
    fails: float


def find_copies(guard: ReleaseGuard, kinds: Mapping[str, Alteration] = COPIES) -> list[CopiesFound]:
    """Copies an image of each of some training patients in every way, and asks the gate for each.

    Args:
      guard: of the release.
      kinds: how they are altered.
    """
    rows = _choose_rows(guard.owners[0])
    images, count = guard.open_training(rows), len(rows)
    found = []
    for kind, alter in kinds.items():
        generator = np.random.default_rng(0)
        copies = np.stack([alter(images[row], images[row - 1], generator) for row in range(count)])
        near = guard.thresholds.too_near(guard.measure(np.clip(copies, -1, 1))[0])
        withheld = np.logical_or.reduce(list(near.values()))
        found.append(CopiesFound(kind, float(withheld.mean()), share_interval(withheld, np.arange(count)), count))
    return found


def plant_copies(
    guard: ReleaseGuard, largest_area: float, repeats: int = REPEATS
) -> list[CopiesPlanted] | Missing:
    """Puts copies among the images of the attacker, and attacks.

    Args:
      guard: of the release.
      largest_area: that the release allows.
      repeats: of each share, with copies of other images.
    """
    if guard.attacked is None or isinstance(guard.attack.area, Missing):
        return (
            guard.attack.area if isinstance(guard.attack.area, Missing) else Missing('has no held-out patients.')
        )
    members, drawn = guard.attacked.members.values, guard.attacked.generated
    planted = []
    for share in SHARES:
        count = min(max(round(share * len(drawn)), 1), len(members))
        areas, fails = [], 0
        for seed in range(repeats):
            rows = np.random.default_rng(seed).permutation(len(members))[:count]
            mixed = np.concatenate([drawn[count:], members[rows]])
            area = attack(*guard.attacked._replace(generated=mixed)).area
            assert not isinstance(area, Missing)
            areas.append(area.value)
            fails += highest_area(area) > largest_area
        planted.append(CopiesPlanted(share, float(np.mean(areas)), fails / repeats))
    return planted


def _choose_rows(owners: Int[np.ndarray, ' image']) -> Int[np.ndarray, ' row']:
    """An image of each of some patients, in stored order."""
    generator = np.random.default_rng(0)
    order = generator.permutation(len(owners))
    _, first = np.unique(owners[order], return_index=True)
    return np.sort(order[generator.permutation(first)[:PATIENTS]])
