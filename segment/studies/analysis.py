"""What a study says: each arm's Dice, paired differences with all corrections, and plain sentences."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from foundation.statistics.differences import Difference, StudyClaim, adjust_holm, hierarchical_bootstrap, judge
from segment.studies.design import ARMS, StudyDesign
from segment.studies.exchange_rate import Worth, worth_of_synthetic
from segment.studies.results import Cells, Group, Results


def say(
    verdict: StudyClaim,
    difference: Difference,
    adjusted_p: float,
    *,
    arms: tuple[str, str],
    margin: float,
    alpha: float,
) -> str:
    """The verdict in plain words.

    Args:
      verdict: from `judge`, with the same difference, p value, margin and alpha.
      arms: names of the first and the second arm.
    """
    first, second = arms
    if difference.estimate is None or difference.distribution is None:
        return f'Nothing is claimed of {first} against {second}: {difference.reason}'
    low, high = difference.distribution.interval(1 - alpha)
    numbers = (
        f'mean difference in Dice {difference.estimate:+.4f} [{low:+.4f}, {high:+.4f}] at {1 - alpha:.0%}, '
        f'p = {adjusted_p:.2g} after Holm, {difference.seeds} seeds, {difference.patients} patients'
    )
    if verdict.answer == 'equivalent':
        slight = ' (it is not 0, but too small to matter)' if verdict.significant else ''
        return f'{first} and {second} are equivalent, within {margin:g}{slight}: {numbers}.'
    if verdict.answer == 'undecided':
        return f'No difference between {first} and {second} is claimed, nor that there is none: {numbers}.'
    return f'{first} is {verdict.answer} than {second}: {numbers}.'


@dataclasses.dataclass(frozen=True)
class ArmComparison:
    """Two groups of cells, patient by patient and seed by seed.

    Attributes:
      first, second: the groups.
      difference: of the first minus the second.
      adjusted_p: after Holm's correction over all comparisons of the study.
      verdict: on the first.
      one_sided: pairs of patient and seed that are left out because the policy for empty masks gives one of the
        two alone a value: where there is nothing, the other rightly found nothing.
      sentence: the verdict in words.
    """

    first: Group
    second: Group
    difference: Difference
    adjusted_p: float
    verdict: StudyClaim
    one_sided: int
    sentence: str


@dataclasses.dataclass(frozen=True)
class Analysis:
    """All that a study says.

    Attributes:
      means: mean Dice of each group, with its distribution over patients and seeds.
      compared: in the order of the design.
      worths: what one generated image is worth, by group.
      claims: plain sentences: one for each generator, and one that compares them.
    """

    means: dict[Group, Difference]
    compared: list[ArmComparison]
    worths: dict[Group, Worth]
    claims: list[str]


def analyse(design: StudyDesign, results: Results, real_images: Mapping[float, int]) -> Analysis:
    """Compares the arms of a study.

    Args:
      design: of the study.
      results: of its cells.
      real_images: training images at each fraction of the patients.
    """
    means = {
        group: hierarchical_bootstrap(cells, resamples=design.resamples, seed=design.seed)
        for group, cells in results.groups.items()
    }
    compared = _compare(design, results)
    worths = {
        group: worth
        for group in results.groups
        if (worth := _worth(design, results, group, real_images)) is not None
    }
    return Analysis(means, compared, worths, _claim(design, compared))


def _compare(design: StudyDesign, results: Results) -> list[ArmComparison]:
    pairs = [
        (first, second)
        for (one, other), first, second in itertools.product(design.comparisons, results.groups, results.groups)
        if (first.arm, second.arm) == (one, other) and _belong_together(first, second)
    ]
    differences = [
        hierarchical_bootstrap(
            results.groups[first] - results.groups[second], resamples=design.resamples, seed=design.seed
        )
        for first, second in pairs
    ]
    p_values = [1.0 if d.distribution is None else d.distribution.p_value for d in differences]
    compared = []
    options = {'margin': design.margin, 'alpha': design.alpha}
    for (first, second), difference, adjusted in zip(
        pairs, differences, adjust_holm(np.array(p_values)), strict=True
    ):
        verdict = judge(difference, adjusted, **options)
        sentence = say(verdict, difference, adjusted, arms=(first.meaning, second.meaning), **options)
        one_sided = _count_one_sided(results.groups[first], results.groups[second])
        sentence += _say_one_sided(one_sided, design.policy)
        compared.append(ArmComparison(first, second, difference, float(adjusted), verdict, one_sided, sentence))
    return compared


def _count_one_sided(first: Cells, second: Cells) -> int:
    return int((np.isnan(first) != np.isnan(second)).sum())


def _say_one_sided(count: int, policy: str) -> str:
    if not count:
        return ''
    return (
        f' Left out are {count} pairs of patient and seed in which one of the two alone found something where '
        f'there is nothing: the policy {policy} gives the other no value, ones would.'
    )


def _belong_together(first: Group, second: Group) -> bool:
    """The same real patients, and the same ratio where both have generated images."""
    return first.fraction == second.fraction and (first.ratio == second.ratio or 0 in (first.ratio, second.ratio))


def _worth(design: StudyDesign, results: Results, group: Group, real_images: Mapping[float, int]) -> Worth | None:
    """None for arms that do not add generated images to all real ones."""
    arm = ARMS[group.arm]
    if not arm.generator or arm.added_only or arm.shuffled:
        return None
    counts, cells = _curve(design, results, real_images)
    real = real_images[group.fraction]
    return worth_of_synthetic(
        counts,
        cells,
        results.groups[group],
        real_count=real,
        synthetic_count=round(group.ratio * real),
        level=design.level,
        resamples=design.resamples,
        seed=design.seed,
    )


def _curve(
    design: StudyDesign, results: Results, real_images: Mapping[float, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Real images, and Dice of the reference arm, by rising fraction."""
    own = sorted((group.fraction, group) for group in results.groups if group.arm == design.reference)
    counts = np.array([real_images[fraction] for fraction, _ in own])
    return counts, np.stack([results.groups[group] for _, group in own])


def _claim(design: StudyDesign, compared: list[ArmComparison]) -> list[str]:
    """The claims that generated images help, and that one generator's help more: stated or refused.

    A claim about a method needs several trainings of it. With one generator for all seeds it is about its images.
    """
    one_training = len(design.generators.seeds) == 1
    owner = 'one training of ' if one_training else ''
    sentences = []
    for one in compared:
        first, second = ARMS[one.first.arm], ARMS[one.second.arm]
        if not first.generator or first.added_only or first.shuffled:
            continue
        stated = 'is stated' if one.verdict.answer == 'better' else 'is refused'
        if one.second.arm == design.reference:
            sentences.append(f'The claim that images of {owner}{first.generator} help {stated}. {one.sentence}')
        elif second.generator and second.generator != first.generator:
            ours, theirs = (f'{owner}{arm.generator}' for arm in (first, second))
            claim = f'The claim that images of {ours} help more than those of {theirs}'
            sentences.append(f'{claim} {stated}. {one.sentence}')
    if sentences and one_training:
        sentences.append(
            'Each kind of generator was trained once: these are claims about these images, not about a method. '
            'For the latter, give config.generators.seeds a seed for each of config.seeds.'
        )
    return sentences
