"""The web server of the page: one detector, one request at a time, and no file kept."""

import asyncio
import contextlib
import dataclasses
import functools
import signal
import socket
import tempfile
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from detect.judging import Judge
from detect.page.asking import answer_files, read_prevalence, warm_up
from detect.page.guarding import Guard, is_loopback, names_of
from detect.page.rendering import Page, describe_answers, describe_problem
from detect.page.uploading import receive_upload
from foundation.training.errors import UserError
from input_pipeline.records import ReaderOptions

_MOST_CONNECTIONS = 16
_FOLDER = Path(__file__).parent
_ASSETS = ('page.css', 'page.js')
_UNEXPECTED = 'Something went wrong that nobody expected; the terminal of detect.app tells what.'


@dataclasses.dataclass(frozen=True)
class Service:
    """What answers.

    Attributes:
      judge: the detector; prevalence comes with each request.
      reading: how files are read.
      max_bytes: of one request.
      names: by which the page may be opened, see `guarding.names_of`.
    """

    judge: Judge
    reading: ReaderOptions
    max_bytes: int
    names: frozenset[str]


def serve(judge: Judge, reading: ReaderOptions, max_bytes: int, host: str, port: int) -> None:
    """Serves the page until it is stopped.

    Args:
      judge, reading, max_bytes: see `Service`.
      host: address to listen at.
      port: 0 takes any that is free.

    Raises:
      UserError: when it cannot listen there.
    """
    service = Service(judge, reading, max_bytes, names_of(host))
    with tempfile.TemporaryDirectory(prefix='detect-app-') as folder, listen(host, port) as listener:
        warm_up(judge)
        if not is_loopback(host):
            print(f'Warning: whoever reaches {host} can use this page, and files travel unencrypted.', flush=True)
        shown = f'[{host}]' if ':' in host else host
        print(f'Open http://{shown}:{listener.getsockname()[1]} in a browser; Ctrl-C stops.', flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it too leaves no folder behind
        with contextlib.suppress(KeyboardInterrupt):
            create_server(service, Path(folder)).run(sockets=[listener])


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


def create_server(service: Service, folder: Path) -> uvicorn.Server:
    """A server, to be run on a socket.

    Args:
      service: what answers.
      folder: in which each request gets one of its own while it is answered.
    """
    config = uvicorn.Config(
        create_app(service, folder),
        log_config=None,
        access_log=False,  # names of files are nobody's business
        server_header=False,
        proxy_headers=False,
        lifespan='off',
        loop='asyncio',
        http='h11',
        ws='none',
        limit_concurrency=_MOST_CONNECTIONS,
    )
    return uvicorn.Server(config)


def create_app(service: Service, folder: Path) -> ASGIApp:
    """The pages; see `create_server`."""
    page = Page.create(service.judge, service.max_bytes)
    one_at_a_time = asyncio.Lock()

    async def show(request: Request) -> Response:
        return HTMLResponse(page.render([], percent=''))

    async def answer(request: Request) -> Response:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            try:
                upload = await receive_upload(request, Path(own), service.max_bytes)
                judge = dataclasses.replace(service.judge, prevalence=read_prevalence(upload.prevalence))
                async with one_at_a_time:
                    if await request.is_disconnected():  # nobody waits any more
                        return Response(status_code=400)
                    answers = await asyncio.to_thread(answer_files, upload.files, judge, service.reading)
            except UserError as error:
                raise HTTPException(422, str(error)) from error
            except ClientDisconnect:
                return Response(status_code=400)
        return HTMLResponse(page.render(describe_answers(answers), percent=upload.prevalence))

    async def tell(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        problem = str(error.detail) if isinstance(error, HTTPException) else _UNEXPECTED
        return HTMLResponse(page.render([describe_problem(problem)], percent=''), status)

    assets = [Route(f'/{name}', functools.partial(_send, _FOLDER / name)) for name in _ASSETS]
    app = Starlette(
        routes=[Route('/', show, methods=['GET']), Route('/', answer, methods=['POST']), *assets],
        exception_handlers={HTTPException: tell, Exception: tell},
    )
    return Guard(app, service.names)  # around errors too


async def _send(path: Path, request: Request) -> Response:
    return FileResponse(path)
