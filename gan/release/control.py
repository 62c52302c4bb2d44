"""How much of the membership attack's area is a difference between the splits, and no memory of patients.

A member-only control: the same scores, between two parts of the *training* patients. The generator has seen both,
so that what the attack finds between them is how the parts differ. It explains a failure, and makes none a pass.
"""

import dataclasses

import numpy as np
from jaxtyping import Float64, Int

from foundation.statistics.jackknife import Missing
from gan.release.membership import AttackedImages, MembershipAttack, area_within_classes, attack, score_images

CUTS = 200
_FEWEST = 20  # different cuts, of which shares mean something
Rows = Int[np.ndarray, '_']


@dataclasses.dataclass(frozen=True, eq=False)
class MemberControl:
    """Areas of the attack between parts of the training patients.

    Attributes:
      areas: of each cut.
    """

    areas: Float64[np.ndarray, ' cut']

    def share_as_high(self, area: float) -> float:
        """Of the cuts, those whose area is at least this: a one-sided p value, the attack counted in."""
        return float((1 + (self.areas >= area).sum()) / (1 + len(self.areas)))

    def middle(self) -> tuple[float, float]:
        """Between which 95% of the areas lie."""
        low, high = np.quantile(self.areas, (0.025, 0.975))
        return float(low), float(high)


def control_members(
    images: AttackedImages, owners: Rows, *, in_blocks: bool, cuts: int = CUTS
) -> MemberControl | Missing:
    """Cuts the members in two as often as asked, and attacks one part against the other.

    Of each class the part that stands for the held-out patients has as many patients, as a share of all, as are
    held out of that class. In blocks these are neighbours in the order in which the data were read, that of their
    names, and so mostly of site and time; otherwise they are drawn by chance, which shows the noise alone.

    Args:
      images: of the attack.
      owners: the number of each member's patient, in the order in which the images were read.
      in_blocks: whether neighbours stay together.
      cuts: how many.
    """
    scores = score_images(images.members.values, images.generated, images.reference)
    labels, others = images.classes
    generator, areas, seen = np.random.default_rng(0), [], set()
    patients = _patients_by_class(owners, labels)
    for _ in range(cuts):
        chosen = np.concatenate(
            [
                _choose(members, _share(labels, others, label), generator, in_blocks=in_blocks)
                for label, members in patients.items()
            ]
        )
        seen.add(tuple(chosen))
        out = np.isin(owners, chosen)
        areas.append(area_within_classes((scores[~out], scores[out]), (labels[~out], labels[out])))
    if len(seen) < _FEWEST or not np.isfinite(areas).all():
        return Missing(
            f'needs training patients that can be cut in {_FEWEST} ways at least, each with all classes.'
        )
    return MemberControl(np.asarray(areas))


def attack_unseen(images: AttackedImages) -> MembershipAttack:
    """The attack on the best generator that never saw the members: half of the reference, which is real.

    The other half calibrates. What it finds is no memory, for there is none.
    """
    reference = images.reference
    if reference is None or len(reference) < 2:
        return MembershipAttack(Missing('needs a validation split of two images.'), calibrated=False)
    order = np.random.default_rng(0).permutation(len(reference))
    first, second = np.array_split(order, 2)
    return attack(*images._replace(generated=reference[first], reference=reference[second]))


def _patients_by_class(owners: Rows, labels: Rows) -> dict[int, Rows]:
    """Patients of each class in the order of their first images; of several classes, that of the first image."""
    known, first = np.unique(owners, return_index=True)
    order = np.argsort(first)
    classes = labels[first[order]]
    return {int(label): known[order][classes == label] for label in np.unique(classes)}


def _share(members: Rows, others: Rows, label: int) -> float:
    """Of the images of a class, the held-out ones."""
    held_out = (others == label).sum()
    return float(held_out / (held_out + (members == label).sum()))


def _choose(patients: Rows, share: float, generator: np.random.Generator, *, in_blocks: bool) -> Rows:
    """That share of the patients, one at least where one is held out and two are there."""
    count = min(max(round(share * len(patients)), int(share > 0)), len(patients) - 1)
    if not in_blocks:
        return np.sort(generator.permutation(patients)[:count])
    start = int(generator.integers(len(patients) - count + 1))
    return patients[start : start + count]


def needed_patients(found: MembershipAttack, patients: int, largest_area: float) -> int | None:
    """Held-out patients with which the attack's interval would end at `largest_area` if its area were 0.5.

    Half the width of an interval falls with the root of the number of patients.

    Args:
      found: the attack.
      patients: that were held out.
      largest_area: that a release allows.

    Returns:
      None where the attack could not be made.
    """
    if isinstance(found.area, Missing) or largest_area <= 0.5:
        return None
    low, high = found.area.interval()
    return int(np.ceil(patients * ((high - low) / 2 / (largest_area - 0.5)) ** 2))


def sharpness(patients: int) -> float:
    """The smallest share of real patients that a threshold from so many held-out ones can stand for."""
    return 1 / (patients + 1)
