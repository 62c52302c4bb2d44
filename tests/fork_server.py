"""A process with the libraries imported, of which commands are forked: each begins two seconds sooner.

    python -m tests.fork_server SOCKET

The project itself is imported by every command anew; only what others wrote is shared. `tests/launch.py` stands
for the command where the tests wait for it and send signals to it.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys

_LIBRARIES = (
    'absl.app', 'absl.logging', 'flax.linen', 'grain', 'jax.numpy', 'ml_collections.config_flags', 'nibabel',
    'optax', 'orbax.checkpoint', 'PIL.Image', 'pydicom', 'pydicom.pixel_data_handlers', 'scipy.linalg',
    'scipy.special', 'tensorflow_datasets', 'tqdm',
)  # fmt: skip


def _serve(listener: socket.socket) -> dict | None:
    """Forks for every connection; returns the request in the fork that is the command, and None at the end.

    The end is that of the standard input, which closes with the process that started this one.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    end = sys.stdin.fileno()
    while end not in select.select([listener.fileno(), end], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        request, streams, *_ = socket.recv_fds(connection, 1 << 20, 3)
        if child := os.fork():
            for stream in streams:
                os.close(stream)
            _keep(child, connection)
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return json.loads(request)
    return None


def _keep(child: int, connection: socket.socket) -> None:
    """Tells the child's number and how it ended; kills it when who asked for it is no more."""
    connection.sendall(f'{child}\n'.encode())
    ended = os.pidfd_open(child)
    if ended not in select.select([connection.fileno(), ended], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f'{os.waitstatus_to_exitcode(status)}\n'.encode())
    os._exit(0)


def main() -> None:
    """Serves until the standard input closes; in forks, runs the command."""
    for library in _LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # forks need not look at them again, and seldom at what is new: `tests/conftest.py` says why
    gc.set_threshold(100_000, 10, 2)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(16)
        request = _serve(listener)
    if request is None:
        return
    os.chdir(request['cwd'])
    os.environ.clear()
    os.environ.update(request['environment'])
    sys.path[0] = request['cwd']
    sys.argv = ['-m', *request['arguments']]
    runpy.run_module(request['module'], run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main()
