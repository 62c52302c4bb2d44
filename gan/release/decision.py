"""Pass or fail, with the figures and the reasons."""

import dataclasses
from typing import Any

from foundation.export.manifest import Release
from foundation.statistics.jackknife import Estimate, Missing
from gan.release.gate import GateThresholds, Tally
from gan.release.membership import MembershipAttack, highest_area


@dataclasses.dataclass(frozen=True)
class Policy:
    """What a release must keep to.

    Attributes:
      quantile: share of held-out images that the gate would withhold.
      largest_withheld: share of candidates that may be withheld.
      largest_area: the attack's interval may reach so high, and as far below 0.5, which is chance.
    """

    quantile: float
    largest_withheld: float
    largest_area: float


def decide(
    tally: Tally, thresholds: GateThresholds, attack: MembershipAttack, policy: Policy
) -> tuple[bool, list[str]]:
    """Whether the release passes, and if not, why: what cannot be shown to be safe does not pass."""
    reasons = []
    if tally.share > policy.largest_withheld:
        reasons.append(
            f'{tally.withheld} of {tally.candidates} candidates are nearer to a training image than held-out '
            f'patients are, more than {policy.largest_withheld:.0%}'
        )
    if thresholds.are_of_copies:
        reasons.append(
            'held-out images are copies of training images, so that no copy can be told; prepare the data without '
            'repeated images, each patient under one name, or raise --gate_quantile'
        )
    if isinstance(attack.area, Missing):
        reasons.append(f'the membership attack could not be made: it {attack.area.reason.rstrip(".")}')
    else:
        if highest_area(attack.area) > policy.largest_area:
            reasons.append(_tell_attack(attack.area, policy.largest_area))
    return not reasons, reasons


def _tell_attack(area: Estimate, largest: float) -> str:
    low, high = area.interval()
    turned = '' if high > largest else ', its answers turned round,'
    told = (
        'may tell who was in training: too few to exclude it'
        if low <= 0.5 <= high
        else 'tells who was in training'
    )
    allowed = f'{1 - largest:g} to {largest:g}' if turned else f'up to {largest:g}'
    return (
        f'the membership attack{turned} {told}, area under the curve {area.value:.3f} [{low:.3f}, {high:.3f}], '
        f'allowed {allowed}'
    )


def create_release(
    passed: bool,
    reasons: list[str],
    tally: Tally,
    thresholds: GateThresholds,
    attack: MembershipAttack,
    policy: Policy,
    *,
    extractor: dict[str, Any],
    splits: dict[str, Any],
    anyway: bool,
) -> Release:
    """What the manifest keeps."""
    area: dict[str, Any] = {'value': None, 'interval': None, 'reason': None, 'calibrated': attack.calibrated}
    if isinstance(attack.area, Missing):
        area['reason'] = attack.area.reason
    else:
        area |= {'value': attack.area.value, 'interval': list(attack.area.interval()), **attack.area.counts}
    figures = {
        'reasons': reasons,
        'released_anyway': anyway and not passed,
        'candidates': tally.candidates,
        'withheld': tally.withheld,
        'withheld_by_measure': dict(tally.by_measure),
        'thresholds': dataclasses.asdict(thresholds),
        'membership_attack': area,
        'policy': dataclasses.asdict(policy),
        'extractor': extractor,
        'splits': splits,
    }
    return Release('pass' if passed else 'fail', figures)
