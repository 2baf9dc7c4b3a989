"""The demo as an ASGI application: the API, its description, the page, and Label Studio's protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
from seem_train.demo.http.bodies import RequestError, json_response
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
            RequestError: _refused,
            NoSuchObjectError: _no_such,
            UserError: _cannot,
            AllTakenError: _full,
            QueueFullError: _full,
            GoneError: _gone,
            HTTPException: _http,
            Exception: _our_fault,
        },
        lifespan=lifespan,
    )


def _problem(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return json_response(ProblemReply(text), status, headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _problem(error.status, error.reason)


async def _no_such(_: Request, error: Exception) -> Response:
    return _problem(404, str(error))


async def _cannot(_: Request, error: Exception) -> Response:
    return _problem(400, str(error))


async def _full(_: Request, error: Exception) -> Response:
    what = "sessions are open" if isinstance(error, AllTakenError) else "requests wait for the model"
    return _problem(503, f"too many {what}; try again in a moment", {"Retry-After": "10"})


async def _gone(_: Request, error: Exception) -> Response:  # noqa: ARG001
    return _problem(404, "there is no such session (any more); open the photo again")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, error.detail, dict(error.headers or {}))


async def _our_fault(_: Request, error: Exception) -> Response:  # the log has the traceback
    return _problem(500, f"a fault of the demo ({type(error).__name__}); its terminal shows more")
