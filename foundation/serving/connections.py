"""Connections that say nothing, or too little, are closed: whoever holds many open keeps nobody else out."""

import asyncio
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS_TO_ASK = 10.0  # from a new connection to the end of the headers of its request
SECONDS_OF_SILENCE = 30.0  # between two pieces of what is sent
SLOWEST = 2**14  # bytes a second, over the whole of what is sent
MOST_CONNECTIONS = 1000  # open ones cost some kilobytes each


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 for one request a connection, which must come soon."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the request."""
        super().connection_made(transport)
        self.loop.call_later(SECONDS_TO_ASK, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():  # its headers are not complete
            self.transport.close()


async def receive_body(request: Request) -> AsyncIterator[bytes]:
    """The pieces of what a request sends.

    Raises:
      HTTPException: when they stop coming, or come too slowly.
    """
    loop = asyncio.get_running_loop()
    started, received, pieces = loop.time(), 0, aiter(request.stream())
    while True:
        try:
            piece = await asyncio.wait_for(anext(pieces), SECONDS_OF_SILENCE)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise _too_slow() from error
        received += len(piece)
        if loop.time() - started > SECONDS_OF_SILENCE + received / SLOWEST:
            raise _too_slow()
        yield piece


def _too_slow() -> HTTPException:
    return HTTPException(408, 'This came too slowly; send it again, or less at a time.')
