"""Stands for a command that `tests/fork_server.py` forks: its streams, signals and exit code are the command's.

python -I -S tests/launch.py SOCKET REQUEST
"""

import os
import signal
import socket
import sys

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Asks for the fork, hands signals on, and ends as it ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        socket.send_fds(server, [sys.argv[2].encode()], [0, 1, 2])
        answers = server.makefile()
        child = int(answers.readline())
        for number in _SIGNALS:
            signal.signal(number, lambda number, _: os.kill(child, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        code = int(answers.readline())
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == '__main__':
    main()
