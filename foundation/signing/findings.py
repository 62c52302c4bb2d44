"""What was found of one layer of protection, of a file or of a folder."""

import collections
import dataclasses
from collections.abc import Iterable
from typing import Literal

# 'unclear': what is here cannot be checked, or does not say enough. From the best to the worst.
State = Literal['held', 'absent', 'unclear', 'broken']
_ORDER: tuple[State, ...] = ('held', 'absent', 'unclear', 'broken')
_DETAILS = 3  # that are told of many files


@dataclasses.dataclass(frozen=True)
class Finding:
    """A layer that was looked at.

    Attributes:
      state: 'held' was checked and is right, 'broken' is there and wrong, 'absent' is not there.
      detail: a few words, of which at least a reader of text knows what they mean.
      faults: lines on single files, some of them.
    """

    state: State
    detail: str
    faults: tuple[str, ...] = ()


def join_findings(findings: Iterable[tuple[str, Finding]], shown: int) -> Finding:
    """What was found of many files as one: held only where all are, else the worst state of any.

    Args:
      findings: the name of each file, and what was found of it; at least one.
      shown: lines kept on files that are not held.
    """
    states: collections.Counter[State] = collections.Counter()
    details: dict[State, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    faults: list[str] = []
    for name, finding in findings:
        states[finding.state] += 1
        details[finding.state][finding.detail] += 1
        if finding.state in ('broken', 'unclear') and len(faults) < shown:
            faults.append(f'{name}: {finding.detail}')
    state, total = max(states, key=_ORDER.index), states.total()
    told = '; '.join(detail for detail, _ in details[state].most_common(_DETAILS))
    more = '; ...' if len(details[state]) > _DETAILS else ''
    count = (
        f'{total:,} file{"s" * (total != 1)}'
        if states[state] == total
        else f'{states[state]:,} of {total:,} files'
    )
    return Finding(state, f'{count}: {told}{more}', tuple(faults))
