"""The demo as an ASGI application: the API, its description, the page, and Label Studio's protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from seem_train.demo.http import api, openapi
from seem_train.demo.http.bodies import json_response
from seem_train.demo.http.guard import Guard
from seem_train.demo.seats import AllTakenError
from seem_train.demo.session import NoSuchObjectError
from seem_train.demo.wire import ProblemReply
from seem_train.demo.work_queue import GoneError, QueueFullError
from seem_train.demo.workplace import Offer, Workplace
from seem_train.errors import UserError

PAGE = Path(str(files("seem_train.demo") / "page"))


def make_app(offer: Offer, token: str | None = None, more: tuple[BaseRoute, ...] = ()) -> Starlette:
    """
    Args:
        token: asked of all requests but those for the page itself; None: only this machine is answered.
        more: further routes.
    """
    description = openapi.document(api.OPERATIONS, offer.limits)

    async def describe(_: Request) -> Response:
        return json_response(description)

    async def index(_: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.workplace = Workplace(offer)
        await app.state.workplace.open()
        yield
        await app.state.workplace.close()

    routes = [Route(o.path, o.handler, methods=[o.method]) for o in api.OPERATIONS]
    return Starlette(
        routes=[
            Route("/", index),
            Route("/openapi.json", describe),
            *routes,
            *more,
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(Guard, token=token, open_paths=("/page/", "/health"))],
        exception_handlers={
            HTTPException: _http,
            NoSuchObjectError: _told(404),
            UserError: _told(400),
            AllTakenError: _full("sessions are open"),
            QueueFullError: _full("requests wait for the model"),
            GoneError: _told(404, lambda _: api.NO_SESSION),
            Exception: _told(500, _our_fault),
        },
        lifespan=lifespan,
    )


def _told(
    status: int, say: Callable[[Exception], str] = str, headers: dict[str, str] | None = None
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """An answer that tells of an error in the words of `say`."""

    async def answer(_: Request, error: Exception) -> Response:
        return json_response(ProblemReply(say(error)), status, headers)

    return answer


def _full(what: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    return _told(503, lambda _: f"too many {what}; try again in a moment", {"Retry-After": "10"})


def _our_fault(error: Exception) -> str:  # the log has the traceback
    return f"a fault of the demo ({type(error).__name__}); its terminal shows more"


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_response(ProblemReply(error.detail), error.status_code, dict(error.headers or {}))
