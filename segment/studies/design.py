"""The design of a study: what is compared, on how many patients and seeds, and what counts as a difference."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs.schema import check
from configs.segment.study_schema import STUDY
from foundation.training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arm:
    """What a segmenter is trained on.

    Attributes:
      generator: whose images are added; '' for none.
      augmented: whether images are varied in the classical way.
      added_only: no real image is in training.
      then_real: trained on the added images alone for half of the steps, and on the real ones for the others.
      shuffled: masks of added images are dealt by chance.
      repeat: how often each real image is there.
      meaning: for the table.
    """

    generator: str = ''
    augmented: bool = True
    added_only: bool = False
    then_real: bool = False
    shuffled: bool = False
    repeat: int = 1
    meaning: str = ''


OWN = 'own'  # images that are there already, in place of a generator
ARMS = {
    'real': Arm(augmented=False, meaning='real images, no augmentation'),
    'real_augmented': Arm(meaning='real images'),
    'pggan': Arm('pggan', meaning='real and images of PGGAN'),
    'enhanced': Arm('enhanced', meaning='real and images of Enhanced-GAN'),
    'pggan_only': Arm('pggan', added_only=True, meaning='images of PGGAN alone'),
    'enhanced_only': Arm('enhanced', added_only=True, meaning='images of Enhanced-GAN alone'),
    'pggan_first': Arm('pggan', then_real=True, meaning='images of PGGAN first, then real ones'),
    'enhanced_first': Arm('enhanced', then_real=True, meaning='images of Enhanced-GAN first, then real ones'),
    'own': Arm('own', meaning='real images and those of config.generators.own'),
    'own_only': Arm('own', added_only=True, meaning='images of config.generators.own alone'),
    'own_first': Arm('own', then_real=True, meaning='images of config.generators.own first, then real ones'),
    'duplicated': Arm(repeat=2, meaning='control: real images twice'),
    'shuffled': Arm('enhanced', shuffled=True, meaning='control: Enhanced-GAN with masks dealt by chance'),
}


@dataclasses.dataclass(frozen=True)
class GeneratorDesign:
    """How the generators of a study are trained.

    Attributes:
      configs: config file of each.
      own: a prepared data set of generated images with masks, which the arms `own...` add; '' without.
      flags: of `gan.main`.
      images: drawn from each.
      seeds: one for all segmenters, or one for each of their seeds.
      audit: flags of `gan.evaluate`.
    """

    configs: Mapping[str, str]
    own: str
    flags: tuple[str, ...]
    images: int
    seeds: tuple[int, ...]
    audit: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class SegmenterDesign:
    """How the segmenters of a study are trained.

    Attributes:
      config: file of it.
      flags: of `segment.main`.
      steps: of each segmenter, in both stages together where it has two; 0 where flags or config tell.
      augmentation: scale of its probabilities in arms that are augmented.
    """

    config: str
    flags: tuple[str, ...]
    steps: int
    augmentation: float


@dataclasses.dataclass(frozen=True)
class StudyDesign:
    """A study.

    Attributes:
      name: what the names of its data sets begin with.
      data, data_dir: the data set, and the folder of all; '' for the default one.
      seed: decides which patients make up a fraction.
      block: so many neighbouring images count as one patient where none is known; 0 leaves them.
      resolution: of all images, in pixels; 0 leaves them as they are.
      arms: of ARMS.
      comparisons: pairs of arms, the first against the second.
      reference: the arm of the learning curve.
      curve: fractions of the real patients for it, besides those of the arms.
      fractions: of the real training patients.
      ratios: generated images for each real one.
      seeds: of the segmenters.
      policy: for empty masks.
      margin: a smaller difference in Dice counts as none.
      alpha: chance of a false claim.
      resamples: of patients and seeds.
      generators, segmenter: how they are trained.
      fields: all fields of the config as text, for the page.
    """

    name: str
    data: str
    data_dir: str
    seed: int
    block: int
    resolution: int
    arms: tuple[str, ...]
    comparisons: tuple[tuple[str, ...], ...]
    reference: str
    curve: tuple[float, ...]
    fractions: tuple[float, ...]
    ratios: tuple[float, ...]
    seeds: tuple[int, ...]
    policy: str
    margin: float
    alpha: float
    resamples: int
    generators: GeneratorDesign
    segmenter: SegmenterDesign
    fields: tuple[tuple[str, str], ...]

    @property
    def level(self) -> float:
        """Coverage of all intervals."""
        return 1 - self.alpha

    def check_generated(self, real_images: Mapping[float, int]) -> None:
        """Raises UserError when generators are to draw fewer images than the arms add, before any is trained.

        Args:
          real_images: training images at each fraction of the patients.
        """
        if not any(ARMS[name].generator not in ('', OWN) for name in self.arms):
            return
        needed = max(round(max(self.ratios) * real_images[fraction]) for fraction in self.fractions)
        if self.generators.images < needed:
            raise UserError(
                f'config.generators.images is {self.generators.images}, but {needed} are to be added to the real '
                f'ones; start it again with --config.generators.images={needed}.'
            )


def create_design(config: ConfigDict) -> StudyDesign:
    """Reads the config of a study.

    Raises:
      UserError: for an unknown arm, one whose generator has no config, or a number that has no meaning.
    """
    check(STUDY, config)
    fields: dict[str, Any] = {name: tuple(own) if isinstance(own, list) else own for name, own in config.items()}
    generators, segmenter = config.generators, config.segmenter
    design = StudyDesign(
        **fields
        | {
            'comparisons': tuple(tuple(pair) for pair in config.comparisons),
            'generators': GeneratorDesign(
                configs=generators.configs.to_dict(),
                own=generators.own,
                flags=tuple(generators.flags),
                images=generators.images,
                seeds=tuple(generators.seeds),
                audit=tuple(generators.audit),
            ),
            'segmenter': SegmenterDesign(
                segmenter.config, tuple(segmenter.flags), segmenter.steps, segmenter.augmentation
            ),
            'fields': tuple((name, str(value)) for name, value in config.items()),
        }
    )
    _check_arms(design)
    _check_numbers(design)
    return design


def _check_arms(design: StudyDesign) -> None:
    for name in design.arms:
        if name not in ARMS:
            raise UserError(f'config.arms names {name!r}; choose among {", ".join(ARMS)}.')
        generator = ARMS[name].generator
        if generator == OWN and not design.generators.own:
            raise UserError(
                f'The arm {name!r} needs config.generators.own: a data set of your generated images with masks, '
                'made from training patients alone.'
            )
        if generator not in ('', OWN) and generator not in design.generators.configs:
            raise UserError(f'config.generators.configs has no {generator!r}, which the arm {name!r} needs.')
        if ARMS[name].then_real and design.segmenter.steps < 2:
            raise UserError(
                f'The arm {name!r} divides config.segmenter.steps, which is {design.segmenter.steps}; say how '
                'many steps each segmenter takes.'
            )
    for pair in design.comparisons:
        if len(pair) != 2 or pair[0] == pair[1]:
            raise UserError(f'config.comparisons holds {pair}; give pairs of two arms.')
    for name in (design.reference, *itertools.chain(*design.comparisons)):
        if name not in design.arms:
            raise UserError(f'config.arms has no {name!r}, which is to be compared; add it.')
    if ARMS[design.reference].generator:
        raise UserError(f'config.reference is {design.reference!r}; name an arm of real images alone.')


def _check_numbers(design: StudyDesign) -> None:
    """Raises UserError for a number that has no meaning, or does not go with another."""
    for fraction in (*design.fractions, *design.curve):
        if not 0 < fraction <= 1:
            raise UserError(f'config.fractions or config.curve holds {fraction}; give shares above 0, up to 1.')
    lists: Mapping[str, tuple[float, ...]] = {
        'seeds': design.seeds,
        'fractions': design.fractions,
        'ratios': design.ratios,
        'generators.seeds': design.generators.seeds,
    }
    for name, values in lists.items():
        if not values or len(set(values)) != len(values):
            raise UserError(f'config.{name} is {values}; give one or more, each once.')
        if min(values) < 0:
            raise UserError(f'config.{name} is {values}; none of them is negative.')
    if min(design.ratios) <= 0:
        raise UserError(f'config.ratios is {design.ratios}; a ratio is above 0.')
    if len(design.generators.seeds) not in (1, len(design.seeds)):
        raise UserError(
            f'config.generators.seeds is {design.generators.seeds}; give one, or one for each of '
            f'{len(design.seeds)} config.seeds: segmenters that share a generator are no independent seeds.'
        )
    tests = len(design.comparisons) * len(design.fractions) * len(design.ratios)
    needed = math.ceil(max(tests + 1, 2) / design.alpha)
    if design.resamples < needed:
        raise UserError(
            f'config.resamples is {design.resamples}, too few for up to {tests} comparisons at '
            f'config.alpha={design.alpha}; make it {needed} or more.'
        )
