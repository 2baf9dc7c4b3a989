"""Serves the demo until it is stopped."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from starlette.routing import BaseRoute

from seem_train.demo.http.app import make_app
from seem_train.demo.workplace import Offer
from seem_train.errors import UserError


@dataclass(frozen=True)
class Address:
    """Where the server listens, and the token it asks for (None on this machine's own interface)."""

    host: str
    port: int
    token: str | None

    @property
    def url(self) -> str:
        """Of the page. The token stands behind a ``#``, which browsers keep to themselves."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"#token={self.token}" if self.token else "")


def serve(
    offer: Offer,
    host: str,
    port: int,
    token: str | None,
    tell: Callable[[Address], None],
    more: tuple[BaseRoute, ...] = (),
) -> None:
    """
    Args:
        port: 0 takes one that is free.
        token: None on the loopback interface only.
        tell: called with the address once it is known.
        more: further routes, see `make_app`.

    Raises:
        UserError: the port or the host cannot be had.
    """
    listener = _listen(host, port)
    address = Address(host, listener.getsockname()[1], token)
    settings = uvicorn.Config(
        make_app(offer, token, more),
        log_level=logging.WARNING,
        access_log=False,
        timeout_keep_alive=30,
        limit_concurrency=4 * offer.limits.sessions + 64,
        server_header=False,
    )
    tell(address)
    uvicorn.Server(settings).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise UserError(
            f"--host {host} --port {port}: cannot be listened on ({reason}); --port 0 takes a free port"
        ) from None
    return listener
