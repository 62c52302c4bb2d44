"""The table of all cases, as Markdown, a row as soon as it is measured."""

import datetime as dt
import gc
import importlib.metadata
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.peers.cases import PeerCase
from benchmarks.peers.pairs import PAIRS
from benchmarks.peers.timing import Compared, PeerRun, interleave

_LIBRARIES = ('jax', 'torch', 'monai', 'torchvision', 'anomalib', 'torch-fidelity', 'prdc')
_COLUMNS = ('work', 'size', 'peer', 'ours s', 'peer s', 'peer / ours', 'parameters', "peer's form")
_LONGEST_REASON = 100


def describe() -> str:
    """Machine, versions, date and command."""
    versions = ', '.join(f'{name} {importlib.metadata.version(name)}' for name in _LIBRARIES)
    command = f'python -m benchmarks.peers {shlex.join(sys.argv[1:])}'.rstrip()
    cores = f'{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores'
    busy = f'load {os.getloadavg()[1]:.1f} over the five minutes before'
    return (
        f'{cores} ({_processor()}), {busy}, Python {platform.python_version()}, {versions}, '
        f'{dt.date.today()}:\n\n    {command}\n'
    )


def _processor() -> str:
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def print_table(cases: Iterable[PeerCase], repeats: int, *, compiled: bool) -> None:
    """Measures and prints; what cannot be measured has a row that says why.

    Args:
      cases: the rows.
      repeats: timed runs of each.
      compiled: whether `torch.compile` is tried too.
    """
    print(f'| {" | ".join(_COLUMNS)} |')
    print(f'| --- | --- | --- |{" ---: |" * 4} --- |', flush=True)
    for case in cases:
        heading = [case.label, case.size, case.peer]
        try:
            cells = _measure(case, repeats, compiled)
        except Exception as error:  # a row of a table that shall be finished
            cells = ['', '', '', '', f'not run: {_reason(error)}']
        print(f'| {" | ".join([*heading, *cells])} |', flush=True)
        gc.collect()


def _reason(error: Exception) -> str:
    words = f'{type(error).__name__}: {error}'.split('\n', 1)[0].replace('|', ' ')
    return words[:_LONGEST_REASON]


def _measure(case: PeerCase, repeats: int, compiled: bool) -> list[str]:
    pair = PAIRS[case.pair]
    forms = [form for form in pair.list_forms('cpu', 'float32') if compiled or not form.compiled]
    peer = pair.create_in_quickest_form(case.resolution, case.batch, forms)
    ours = pair.create_ours(case.resolution, case.batch, 'float32')
    compared = Compared(*interleave(ours, peer, repeats))
    low, high = compared.ratios
    return [
        _spread(compared.ours),
        _spread(compared.peer),
        f'**{compared.ratio:.2f}** ({low:.2f} to {high:.2f})',
        _count(ours, peer),
        peer.form,
    ]


def _spread(seconds: Sequence[float]) -> str:
    """Least, median and most."""
    return ' / '.join(f'{value:.3g}' for value in (min(seconds), statistics.median(seconds), max(seconds)))


def _count(ours: PeerRun, peer: PeerRun) -> str:
    if not ours.parameters:
        return ''
    counts = [f'{run.parameters / 1e6:.2f} M' for run in (ours, peer)]
    return counts[0] if ours.parameters == peer.parameters else ' / '.join(counts)
