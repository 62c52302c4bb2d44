"""`python -m tests.gan.interrupted SIGNAL IMAGES FLAGS...`: gan.main, which gets the signal after IMAGES images.

From outside a signal would come a little early or late; sent here, it comes between two steps that the test names.
"""

import os
import runpy
import signal
import sys

from foundation.training import loop


def main(name: str, images: str, *flags: str) -> None:
    """Runs gan.main with a loop that signals its own process after the call that ends at `images`."""
    call = loop._Runner._call

    def calling(self, *arguments):
        call(self, *arguments)
        if self._position.images_seen == int(images):
            os.kill(os.getpid(), signal.Signals[name])

    loop._Runner._call = calling  # type: ignore[method-assign]
    sys.argv = ['gan.main', *flags]
    runpy.run_module('gan.main', run_name='__main__')


if __name__ == '__main__':
    main(*sys.argv[1:])
