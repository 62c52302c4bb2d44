"""The web server of the page: one detector, one request at a time, and no file kept."""

import asyncio
import contextlib
import dataclasses
import functools
import ipaddress
import signal
import socket
import tempfile
import urllib.parse
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detect.judge import Judge
from detect.page.connections import MOST_CONNECTIONS, ImpatientProtocol
from detect.page.html import DetectorPage, describe_answers, describe_problem
from detect.page.results import answer_files, read_prevalence, warm_up
from detect.page.uploads import receive_upload
from foundation.training.errors import UserError
from input_pipeline.records import ReaderOptions

_HEADERS = {
    'Content-Security-Policy': (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',  # with no-referrer, browsers hide the origin of a form
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',  # answers are kept nowhere
    'Connection': 'close',  # one request a connection: see `connections`
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'


def names_of(host: str) -> frozenset[str]:
    """Names, besides addresses, by which a page that listens at `host` may be opened."""
    return frozenset(
        {'localhost'} if is_loopback(host) else {'localhost', host.lower(), socket.gethostname().lower()}
    )


class RequestGuard:
    """Refuses requests that another page may have caused, and tells browsers what the page may load.

    A foreign page can make the browser send files here, or let its own name point here (DNS rebinding). The first
    shows in the Origin of the request, the second in its Host, which then is a name and not ours.

    Args:
      app: what is guarded.
      names: see `names_of`.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]):
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        headers = Headers(scope=scope)

        async def send_guarded(message: Message) -> None:
            if message['type'] == 'http.response.start':
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        app: ASGIApp = self._app
        if not self._is_ours(headers.get('host', '')):
            app = PlainTextResponse('Open this page by the address that detect.app printed.\n', 421)
        elif not _is_same(headers):
            app = PlainTextResponse('Another page sent this; nothing was read.\n', 403)
        await app(scope, receive, send_guarded)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urllib.parse.urlsplit(f'//{host}').hostname or ''
            return name in self._names or bool(ipaddress.ip_address(name))
        except ValueError:  # neither a name of ours nor an address
            return False


def _is_same(headers: Headers) -> bool:
    """Whether no browser says that another page asks; programs say nothing, and may ask."""
    origin = headers.get('origin')
    same = origin is None or origin.partition('://')[2] == headers['host']
    return same and headers.get('sec-fetch-site', 'none') in ('same-origin', 'none')


_MOST_REQUESTS = 16  # that are received or wait at a time
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
        http=ImpatientProtocol,
        ws='none',
        limit_concurrency=MOST_CONNECTIONS,
    )
    return uvicorn.Server(config)


def create_app(service: Service, folder: Path) -> ASGIApp:
    """The pages; see `create_server`."""
    page = DetectorPage.create(service.judge, service.max_bytes)
    one_at_a_time, waiting = asyncio.Lock(), asyncio.Semaphore(_MOST_REQUESTS)

    async def show(request: Request) -> Response:
        return HTMLResponse(page.render([], percent=''))

    async def admit(request: Request) -> Response:
        if waiting.locked():
            raise HTTPException(503, 'Too many others are sending files; try again in a minute.')
        async with waiting:
            return await answer(request)

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
        routes=[Route('/', show, methods=['GET']), Route('/', admit, methods=['POST']), *assets],
        exception_handlers={HTTPException: tell, Exception: tell},
    )
    return RequestGuard(app, service.names)  # around errors too


async def _send(path: Path, request: Request) -> Response:
    return FileResponse(path)
