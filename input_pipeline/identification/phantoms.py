"""The exemplars that need no files: phantoms, drawn when they are asked for."""

import functools
import itertools

import numpy as np

from input_pipeline.identification.exemplars import Exemplars
from input_pipeline.identification.selection import build_exemplars
from input_pipeline.identification.thumbnails import SIDE, Picture, shrink
from input_pipeline.parallel import ordered_map
from input_pipeline.phantom import images, torso_ct
from input_pipeline.phantom.dataset import store
from input_pipeline.phantom.randomness import Purpose, create_generator
from input_pipeline.records import PERCENTILES, Record

# Phantom modality, and the part of the body where CT draws either of two.
KINDS = {
    'chest_ct': ('CT', True),
    'abdomen_ct': ('CT', False),
    'head_mr': ('MR', None),
    'chest_xray': ('DX', None),
}
_PER_KIND = 12
_SEED = 2**96  # patients that no data set of phantoms is likely to hold


@functools.cache
def phantom_exemplars() -> Exemplars:
    """Exemplars of chest CT, upper abdominal CT, head MR and chest X-ray; always the same."""
    wanted = [(kind, seed) for kind in KINDS for seed in patients(kind, 2 * _PER_KIND, first=_SEED)]
    pictures: dict[str, list[Picture]] = {kind: [] for kind in KINDS}
    for (kind, _), future in ordered_map(lambda pair: draw_picture(*pair), wanted):
        pictures[kind].append(future.result())
    return build_exemplars(pictures, _PER_KIND, seed=0)


def patients(kind: str, count: int, first: int) -> list[int]:
    """Seeds, from `first` on, of patients whose picture is of the kind."""
    chest = KINDS[kind][1]

    def is_wanted(seed: int) -> bool:
        anatomy, varied = (create_generator(seed, purpose, 0) for purpose in (Purpose.ANATOMY, Purpose.SLICE))
        return chest is None or torso_ct.create_torso(anatomy, varied).chest == chest

    return list(itertools.islice(filter(is_wanted, itertools.count(first)), count))


def draw_picture(kind: str, patient_seed: int) -> Picture:
    """One phantom of a kind, with a lesion in every second patient.

    Args:
      kind: one of `KINDS`.
      patient_seed: see `phantom.draw`; must be of the kind's region.
    """
    name = KINDS[kind][0]
    image, _ = images.draw(name, patient_seed, 0, SIDE, lesion=bool(patient_seed % 2))
    intensity = images.MODALITIES[name].intensity
    low, high = np.percentile(image, PERCENTILES)
    record = Record(
        key=str(patient_seed),
        image=store(image, intensity)[..., np.newaxis],
        patient=str(patient_seed),
        modality=name,
        label=kind,
        mask=None,
        intensity=intensity,
        window=(float(low), float(high)),
        spacing=(0.0, 0.0, 0.0),
        source='phantom',
    )
    return shrink(record)
