"""Measures this project beside other frameworks on CPUs, and prints a Markdown table.

    PYTHON=python3.11 ENHANCED_GAN_EXTRA=peers scripts/environment
    .venv-3.11-peers/bin/python -m benchmarks.peers

Each row has seconds of one step, prediction or the like, least / median / most of repeats that take turns, and the
ratio of the medians: above 1 ours is faster. In brackets are the lowest and highest ratio of two neighbours. The
peer's form is the quickest of eager and `torch.compile`, channels first and last. The very first run compiles for
many minutes, which PyTorch keeps in its cache; --nocompiled leaves that out.
"""

from collections.abc import Sequence

from absl import app, flags

from benchmarks.peers.cases import CASES
from benchmarks.peers.table import describe, print_table

_ONLY = flags.DEFINE_list('only', [case.pair for case in CASES], 'Names of pairs to measure.')
_COMPILED = flags.DEFINE_bool('compiled', True, 'Try torch.compile too.')
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed runs of each.', lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Prints the table."""
    print(describe())
    print_table([case for case in CASES if case.pair in _ONLY.value], _REPEATS.value, compiled=_COMPILED.value)


@flags.validator('only', message=f'Names are {", ".join(dict.fromkeys(case.pair for case in CASES))}.')
def _are_known(names: Sequence[str]) -> bool:
    return set(names) <= {case.pair for case in CASES}


if __name__ == '__main__':
    app.run(main)
