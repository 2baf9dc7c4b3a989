"""Who may ask: this machine's own pages and programs, or whoever has the token. As ASGI middleware.

On the loopback interface no token is asked for, so a web site in the same browser is kept out in two ways: a
request must name this machine in its Host (else a name that was rebound to 127.0.0.1 would do), and where it
says which page it comes from, it must be ours.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seem_train.demo.http.bodies import json_response
from seem_train.demo.wire import ProblemReply

_OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
        b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """
    Args:
        token: that requests must show; None where only this machine can reach the server.
        open_paths: what anybody may read: the page, which asks for the token, and what it is made of.
    """

    def __init__(self, app: ASGIApp, token: str | None, open_paths: tuple[str, ...] = ()) -> None:
        self._app, self._token, self._open = app, token, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        reason = self._reason(scope)
        if reason is None:
            await self._app(scope, receive, send_with_headers)
            return
        status, text = reason
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        await json_response(ProblemReply(text), status, headers)(scope, receive, send_with_headers)

    def _reason(self, scope: Scope) -> tuple[int, str] | None:
        """Why a request is refused: its status and a sentence."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"a page of {origin} may not ask this server; open its own page"
        if self._token is None:
            if _host_name(host) not in _OWN_NAMES:
                return 403, f"this server answers to localhost only, not to {host!r}"
            return None
        path = scope["path"]
        if path == "/" or path.startswith(self._open):
            return None
        if any(
            hmac.compare_digest(shown.encode(), self._token.encode()) for shown in _tokens(scope, headers)
        ):
            return None
        return 401, "this server asks for its token: send 'Authorization: Bearer TOKEN', or ?token=TOKEN"


def _host_name(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _tokens(scope: Scope, headers: Headers) -> list[str]:
    """As a bearer, as a password of any user (which Label Studio can send), or in the address."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    if kind.lower() in ("bearer", "token"):
        shown.append(value.strip())
    elif kind.lower() == "basic":
        try:
            shown.append(base64.b64decode(value, validate=True).decode().partition(":")[2])
        except (binascii.Error, ValueError):
            return shown
    return shown
