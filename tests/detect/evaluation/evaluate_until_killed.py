"""`python -m tests.detect.evaluation.evaluate_until_killed FLAGS...`: the process kills itself in a late part."""

import os
import runpy
import signal
import sys

from detect.evaluation import robustness


def _degrade(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == '__main__':
    robustness.degradation_grid = _degrade
    sys.argv[0] = 'detect.evaluate'
    runpy.run_module('detect.evaluate', run_name='__main__')
