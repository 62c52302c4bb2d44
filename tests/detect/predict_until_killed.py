"""`python -m tests.detect.predict_until_killed FLAGS... PATH...`: the process kills itself at the third answer."""

import os
import runpy
import signal
import sys

from detect import predictions

_ANSWER = predictions.answer_one
_answered: list[tuple[object, ...]] = []


def _answer_one(*arguments):
    _answered.append(arguments)
    if len(_answered) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return _ANSWER(*arguments)


if __name__ == '__main__':
    predictions.answer_one = _answer_one
    sys.argv[0] = 'detect.predict'
    runpy.run_module('detect.predict', run_name='__main__')
