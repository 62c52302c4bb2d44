"""What keeps foreign pages from using ours, and ours from loading anything from elsewhere."""

import ipaddress
import socket
import urllib.parse

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
            app = PlainTextResponse('Open this page by the address that its command printed.\n', 421)
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
