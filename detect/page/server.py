"""The web server of the page: one detector, one request at a time, and no file kept."""

import asyncio
import dataclasses
import functools
import tempfile
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from detect.judge import Judge
from detect.page.html import DetectorPage, describe_answers, describe_problem
from detect.page.results import answer_files, read_prevalence, warm_up
from detect.page.uploads import receive_upload
from foundation.serving.guard import RequestGuard, is_loopback, names_of
from foundation.serving.server import address_of, create_server, listen, run_until_stopped
from foundation.training.errors import UserError
from input_pipeline.records import ReaderOptions

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
      names: by which the page may be opened, see `names_of`.
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
        print(f'Open {address_of(host, listener)} in a browser; Ctrl-C stops.', flush=True)
        run_until_stopped(create_server(create_app(service, Path(folder))), listener)


def create_app(service: Service, folder: Path) -> ASGIApp:
    """The pages.

    Args:
      service: what answers.
      folder: in which each request gets one of its own while it is answered.
    """
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
