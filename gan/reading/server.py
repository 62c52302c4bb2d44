"""The page of a study: each reader's own address, one case at a time, and nothing that tells what it is.

Every case has the same number of bytes, without a format around its pixels, and the same headers; it is asked for
by the reader's own position, and only the one that is next can be had.
"""

import contextlib
import fcntl
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from foundation.serving.connections import receive_body
from foundation.serving.guard import RequestGuard, is_loopback, names_of
from foundation.serving.server import address_of, create_server, listen, run_until_stopped
from foundation.training.errors import UserError
from gan.reading.answers import SCALE, AnswerSheet
from gan.reading.plan import PLAN_FILE, OpenStudy

_FOLDER = Path(__file__).parent
_ASSETS = ('page.css', 'page.js')
_LARGEST_ANSWER = 1024  # bytes
_UNEXPECTED = 'Something went wrong that nobody expected; the terminal of gan.reader_study tells what.'


def serve_study(study: OpenStudy, host: str, port: int) -> list[AnswerSheet]:
    """Serves the page until it is stopped.

    Args:
      study: of the page.
      host: address to listen at.
      port: 0 takes any that is free.

    Returns:
      The answers of all readers.

    Raises:
      UserError: when it cannot listen there, another process serves the study, or answers are damaged.
    """
    with one_server(study.folder), listen(host, port) as listener:
        sheets = read_sheets(study)
        if not is_loopback(host):
            print(f'Warning: whoever reaches {host} and knows a link sees the images; they travel unencrypted.')
        for reader, (link, sheet) in enumerate(zip(study.links, sheets, strict=True), start=1):
            at = f'{len(sheet.answers)} of {len(sheet.order)} answers'
            print(f'Reader {reader}: {address_of(host, listener)}/{link}   ({at})')
        print('Readers open their links in a browser; Ctrl-C stops, and the same command goes on.', flush=True)
        run_until_stopped(create_server(create_app(study, sheets, names_of(host))), listener)
    return sheets


def read_sheets(study: OpenStudy) -> list[AnswerSheet]:
    """The answers of all readers.

    Raises:
      UserError: when they are damaged.
    """
    return [AnswerSheet(study.folder, study.plan, reader) for reader in range(study.plan.readers)]


@contextlib.contextmanager
def one_server(folder: Path) -> Iterator[None]:
    """Keeps other processes from serving the study in a folder within the block.

    Raises:
      UserError: when one does.
    """
    with (folder / PLAN_FILE).open('rb') as plan:
        try:
            fcntl.flock(plan, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f'{folder} is served by another process; stop that one first.') from error
        except OSError:  # a file system without locks
            pass
        yield


def create_app(study: OpenStudy, sheets: list[AnswerSheet], names: frozenset[str]) -> ASGIApp:
    """The pages of all readers.

    Args:
      study: of the page.
      sheets: of each reader, which take the answers.
      names: by which the page may be opened, see `guard.names_of`.
    """
    pages = _ReaderPages(study, dict(zip(study.links, sheets, strict=True)))
    assets = [Route(f'/{name}', functools.partial(_send, _FOLDER / name)) for name in _ASSETS]
    app = Starlette(
        routes=[
            *assets,
            Route('/{link}', pages.show, methods=['GET']),
            Route('/{link}/state', pages.tell_state, methods=['GET']),
            Route('/{link}/case/{position:int}', pages.send_case, methods=['GET']),
            Route('/{link}/answer', pages.take_answer, methods=['POST']),
        ],
        exception_handlers={HTTPException: _tell, Exception: _tell},
    )
    return RequestGuard(app, names)


class _ReaderPages:
    """What readers are shown, and the answers that they give.

    Args:
      study: of the page.
      readers: the answers of each reader, by the link.
    """

    def __init__(self, study: OpenStudy, readers: Mapping[str, AnswerSheet]) -> None:
        self._study, self._readers = study, readers

    def _find(self, request: Request) -> AnswerSheet:
        try:
            return self._readers[request.path_params['link']]
        except KeyError as error:
            raise HTTPException(404, 'Open the link that you were given; this is none.') from error

    async def show(self, request: Request) -> Response:
        """The page of a reader."""
        self._find(request)
        return FileResponse(_FOLDER / 'page.html')

    async def tell_state(self, request: Request) -> Response:
        """See `_state`."""
        return JSONResponse(_state(self._study, self._find(request)))

    async def send_case(self, request: Request) -> Response:
        """The pixels of the next case, 16 bits each."""
        sheet = self._find(request)
        if sheet.is_complete or request.path_params['position'] != len(sheet.answers):
            raise HTTPException(404, 'This case is not the next one.')
        case = sheet.order[len(sheet.answers)]
        return Response(self._study.images[case].astype('<u2').tobytes(), media_type='application/octet-stream')

    async def take_answer(self, request: Request) -> Response:
        """Keeps an answer, and tells how far the reader is then."""
        sheet = self._find(request)
        try:
            content = json.loads(await _receive(request))
            position, confidence, seconds = (content[name] for name in ('position', 'confidence', 'seconds'))
        except ClientDisconnect:
            return Response(status_code=400)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise HTTPException(422, 'An answer has a position, a confidence and seconds.') from error
        if position != len(sheet.answers):  # the same answer twice, or another window
            return JSONResponse(_state(self._study, sheet), 409)
        try:
            sheet.add(confidence, seconds)  # quick, and no other request comes in between
        except ValueError as error:
            raise HTTPException(422, 'This is no answer on the scale of the page.') from error
        except OSError as error:
            reason = error.strerror or 'an error'
            raise HTTPException(507, f'The answer cannot be kept ({reason}); tell whoever runs this.') from error
        return JSONResponse(_state(self._study, sheet))


async def _tell(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return PlainTextResponse(str(error.detail), error.status_code)
    return PlainTextResponse(_UNEXPECTED, 500)


def _state(study: OpenStudy, sheet: AnswerSheet) -> dict[str, object]:
    """What the page knows: how far the reader is, and how cases are drawn."""
    height, width, channels = study.images.shape[1:]
    return {
        'position': len(sheet.answers),
        'total': len(sheet.order),
        'height': height,
        'width': width,
        'channels': channels,
        'bits': study.plan.bits,
        'scale': list(SCALE),
    }


async def _receive(request: Request) -> bytes:
    content = b''
    async for piece in receive_body(request):
        content += piece
        if len(content) > _LARGEST_ANSWER:
            raise HTTPException(413, 'An answer is short; this is none.')
    return content


async def _send(path: Path, request: Request) -> Response:
    return FileResponse(path)
