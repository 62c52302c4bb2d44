"""Listening, and serving until Ctrl-C or SIGTERM."""

import contextlib
import signal
import socket

import uvicorn
from starlette.types import ASGIApp

from foundation.serving.connections import MOST_CONNECTIONS, ImpatientProtocol
from foundation.training.errors import UserError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes any that is free.

    Raises:
      UserError: when it cannot.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ':' in host else socket.AF_INET)
    except OSError as error:
        raise UserError(
            f'cannot listen at {host}, port {port} ({error.strerror or error}); choose another --port or --host.'
        ) from error


def address_of(host: str, listener: socket.socket) -> str:
    """How browsers name what listens at `host`, without a path."""
    shown = f'[{host}]' if ':' in host else host
    return f'http://{shown}:{listener.getsockname()[1]}'


def create_server(app: ASGIApp) -> uvicorn.Server:
    """A server, to be run on a socket."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # names of files are nobody's business
        server_header=False,
        proxy_headers=False,
        lifespan='off',
        loop='asyncio',
        http=ImpatientProtocol,
        ws='none',
        limit_concurrency=MOST_CONNECTIONS,
    )
    return uvicorn.Server(config)


def run_until_stopped(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serves until Ctrl-C or SIGTERM, and then returns, so that what is open can be closed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
