"""`python -m gan.report --workdir=DIR [DIR2 ...]` makes a page about one run, or about several side by side."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from foundation.training import launch
from gan.reporting.runs import read_runs
from gan.reporting.sections import write_report
from gan.weights import check_apart

_OUT = flags.DEFINE_string(
    'out',
    None,
    'Folder for the page and its pictures; by default WORKDIR/report, or comparison/ in the first of several.',
)


def main(argv: Sequence[str]) -> None:
    """Reads the runs, also while they train, and writes the page; further workdirs may follow the flags."""
    workdirs = [*launch.workdirs(), *map(Path, argv[1:])]
    launch.start_jax_alone('gan.report')
    runs = read_runs(workdirs)
    default = workdirs[0] / ('report' if len(runs) == 1 else 'comparison')
    out = Path(_OUT.value) if _OUT.value else default
    for workdir in workdirs:
        check_apart(workdir, out)
    page = write_report(runs, out)
    print(f'Report: {page}   all its pictures: {page.parent}/*.png')
    print('It shows training images: treat it as you treat them.')
    if any(run.images_seen < run.images_planned for run in runs):
        print('Next: when more is trained, the same command draws it anew.')
    elif len(runs) == 1:
        print(f'Next: {launch.python()} -m gan.report --workdir={workdirs[0]} OTHER_WORKDIR compares two runs.')


if __name__ == '__main__':
    launch.run_command(main, packages=('gan',), user_errors=())
