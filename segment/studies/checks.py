"""Whether a study can be done as configured, asked before hours go into it."""

import itertools
import math
from collections.abc import Mapping

from ml_collections import ConfigDict

from foundation.training.errors import UserError
from foundation.training.fields import check_values, find_field
from segment.metrics.policies import POLICIES
from segment.studies.plan import ARMS

_LOWEST = {'margin': 1e-6, 'alpha': 1e-4, 'resamples': 1000, 'block': 0, 'resolution': 0, 'generators.images': 1}
_HIGHEST = {'alpha': 0.25, 'resamples': 10**6}


def check_config(config: ConfigDict) -> None:
    """Checks all that can be checked before anything is done.

    Raises:
      UserError: for an unknown arm, one whose generator has no config, or a number that has no meaning.
    """
    for name in config.arms:
        if name not in ARMS:
            raise UserError(f'config.arms names {name!r}; choose among {", ".join(ARMS)}.')
        generator = ARMS[name].generator
        if generator and generator not in config.generators.configs:
            raise UserError(f'config.generators.configs has no {generator!r}, which the arm {name!r} needs.')
    for pair in config.comparisons:
        if len(pair) != 2 or pair[0] == pair[1]:
            raise UserError(f'config.comparisons holds {tuple(pair)}; give pairs of two arms.')
    for name in (config.reference, *itertools.chain(*config.comparisons)):
        if name not in config.arms:
            raise UserError(f'config.arms has no {name!r}, which is to be compared; add it.')
    if ARMS[config.reference].generator:
        raise UserError(f'config.reference is {config.reference!r}; name an arm of real images alone.')
    _check_numbers(config)


def _check_numbers(config: ConfigDict) -> None:
    """Raises UserError for a number that has no meaning, or does not go with another."""
    for fraction in (*config.fractions, *config.curve):
        if not 0 < fraction <= 1:
            raise UserError(f'config.fractions or config.curve holds {fraction}; give shares above 0, up to 1.')
    for name in ('seeds', 'fractions', 'ratios', 'generators.seeds'):
        values = find_field(config, name)
        if not values or len(set(values)) != len(values):
            raise UserError(f'config.{name} is {tuple(values)}; give one or more, each once.')
        if min(values) < 0:
            raise UserError(f'config.{name} is {tuple(values)}; none of them is negative.')
    if min(config.ratios) <= 0:
        raise UserError(f'config.ratios is {tuple(config.ratios)}; a ratio is above 0.')
    if config.policy not in POLICIES:
        raise UserError(f'config.policy is {config.policy!r}; choose one of {", ".join(POLICIES)}.')
    if len(config.generators.seeds) not in (1, len(config.seeds)):
        raise UserError(
            f'config.generators.seeds is {tuple(config.generators.seeds)}; give one, or one for each of '
            f'{len(config.seeds)} config.seeds: segmenters that share a generator are no independent seeds.'
        )
    check_values(config, choices={}, lowest=_LOWEST, highest=_HIGHEST)
    tests = len(config.comparisons) * len(config.fractions) * len(config.ratios)
    needed = math.ceil(max(tests + 1, 2) / config.alpha)
    if config.resamples < needed:
        raise UserError(
            f'config.resamples is {config.resamples}, too few for up to {tests} comparisons at '
            f'config.alpha={config.alpha}; make it {needed} or more.'
        )


def check_generated(config: ConfigDict, real_images: Mapping[float, int]) -> None:
    """Raises UserError when generators are to draw fewer images than the arms add, before any is trained.

    Args:
      config: of the study.
      real_images: training images at each fraction of the patients.
    """
    if not any(ARMS[name].generator for name in config.arms):
        return
    needed = max(round(max(config.ratios) * real_images[fraction]) for fraction in config.fractions)
    if config.generators.images < needed:
        raise UserError(
            f'config.generators.images is {config.generators.images}, but {needed} are to be added to the real '
            f'ones; start it again with --config.generators.images={needed}.'
        )
