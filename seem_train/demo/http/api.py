"""The HTTP API: what can be asked, and the answers. `OPERATIONS` is all of it, for the router and OpenAPI."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from seem_data import __version__
from seem_data.common.colors import as_hex
from seem_data.common.terminal import typed
from seem_train.demo import saving, wire
from seem_train.demo.asking import NothingFoundError
from seem_train.demo.http.bodies import json_response, query_int, read_bytes, read_json, whole
from seem_train.demo.objects import DemoObject
from seem_train.demo.photos import SHOWN
from seem_train.demo.seats import Seat
from seem_train.demo.session import DemoSession
from seem_train.demo.work_queue import WorkResult
from seem_train.demo.workplace import Workplace

NO_SESSION = "there is no such session (any more); open the photo again"
_LONGEST_SIDE = 16, 100_000  #: bounds of what the longer side of masks may be asked for
_LONGEST_WAIT = 20  #: seconds that a request for a session's status may wait for news
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked.

    Attributes:
        body: the type of the JSON sent, or "photo" for the bytes of one, or None.
        reply: the type of the JSON answered, or a media type, or None.
        query: names of whole numbers in the query ─▶ their bounds; texts are None.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    body: type[msgspec.Struct] | str | None = None
    reply: type[msgspec.Struct] | str | None = None
    status: int = 200
    query: tuple[tuple[str, tuple[int, int] | None], ...] = ()


def place_of(request: Request) -> Workplace:
    return request.app.state.workplace


# ── the model, the photos ──────────────────────────────────────────────────────────────────────────────


async def about(request: Request) -> Response:
    offer = place_of(request).offer
    predictor = offer.model.predictor
    return json_response(
        wire.About(
            model=offer.model.name,
            base=offer.base.name if offer.base else None,
            device=str(predictor.model.device),
            categories=[wire.CategoryReply(c.name, as_hex(c.color), c.isthing) for c in predictor.categories],
            photos=len(offer.album),
            keeps=offer.kept is not None,
            version=__version__,
        )
    )


async def album(request: Request) -> Response:
    photos = place_of(request).offer.album
    return json_response(wire.AlbumReply(photos.rows(), photos.looked_at))


async def open_photo(request: Request) -> Response:
    place = place_of(request)
    name = request.query_params.get("name", "photo")[:200] or "photo"
    place.seats.check_room()
    content = await read_bytes(request, place.offer.limits.body)
    return json_response(place.status(await place.seat(content, name)), 201)


async def open_from_album(request: Request) -> Response:
    place = place_of(request)
    choice = await read_json(request, wire.AlbumChoice, place.offer.limits.json)
    found = await place.apart(partial(place.offer.album.open, choice.number))
    if found is None:
        what = "no photo is left" if choice.number is None else f"there is no photo {choice.number}"
        raise HTTPException(404, f"{what} in the folder of --images")
    name, content = found
    return json_response(place.status(await place.seat(content, name)), 201)


async def status(request: Request) -> Response:
    place, seat = place_of(request), _seat(request)
    wait = query_int(request, "wait", 0, _LONGEST_WAIT) or 0
    before, until = place.status(seat), time.monotonic() + wait
    now = before
    while now == before and now.state in ("waiting", "looking") and time.monotonic() < until:
        await asyncio.sleep(0.05)
        now = place.status(seat)
    return json_response(now)


async def leave(request: Request) -> Response:
    place_of(request).seats.leave(_seat(request).id)
    return Response(status_code=204)


async def photo(request: Request) -> Response:
    session = _seat(request).session
    shown = await place_of(request).apart(lambda: session.shown)
    return Response(shown, media_type="image/jpeg")


async def reference(request: Request) -> Response:
    place, seat = place_of(request), _seat(request)
    content = await read_bytes(request, place.offer.limits.body)
    async with seat.lock:
        height, width = await place.apart(partial(seat.session.set_reference, content))
    return json_response(wire.ReferenceRow(width, height))


# ── objects ────────────────────────────────────────────────────────────────────────────────────────────


async def objects(request: Request) -> Response:
    seat, longest = _seat(request), _longest(request)
    async with seat.lock:
        table = await place_of(request).apart(partial(_table, seat.session, longest, None))
    return json_response(table)


async def prompt(request: Request) -> Response:
    body = await read_json(request, wire.Prompt, _json_limit(request))
    return await _by_model(request, lambda session: session.prompt(body))


async def everything(request: Request) -> Response:
    body = await read_json(request, wire.EverythingRequest, _json_limit(request))
    return await _by_model(request, lambda session: session.everything(body.categories))


async def compare(request: Request) -> Response:
    place, seat, longest = place_of(request), _seat(request), _longest(request)
    start = time.perf_counter()
    async with seat.lock:
        done = await place.queue.run(seat.session.compare, seat.id)
        rows = await place.apart(lambda: [one.row(longest) for one in done.result])
    return json_response(wire.Table(rows, False, False, [], _timing(done, start)))


async def edit(request: Request) -> Response:
    body = await read_json(request, wire.Edit, _json_limit(request))
    return await _by_hand(request, lambda session: session.edit(body))


async def merge(request: Request) -> Response:
    body = await read_json(request, wire.Merge, _json_limit(request))
    return await _by_hand(request, lambda session: session.merge(body.objects))


async def rename(request: Request) -> Response:
    body = await read_json(request, wire.Rename, _json_limit(request))
    number = _object(request)
    return await _by_hand(request, lambda session: session.rename(number, body.name))


async def delete(request: Request) -> Response:
    number = _object(request)
    return await _by_hand(request, lambda session: session.delete(number))


async def undo(request: Request) -> Response:
    return await _by_hand(request, DemoSession.undo)


async def redo(request: Request) -> Response:
    return await _by_hand(request, DemoSession.redo)


async def clear(request: Request) -> Response:
    return await _by_hand(request, DemoSession.clear)


# ── what is taken away ─────────────────────────────────────────────────────────────────────────────────


async def save(request: Request) -> Response:
    seat, form = _seat(request), request.path_params["form"]
    if form not in saving.FORMS:
        raise HTTPException(404, f"{form!r} is no form to save in; there are: {', '.join(saving.FORMS)}")
    async with seat.lock:
        file = await place_of(request).apart(partial(saving.save, seat.session, form))
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}"}
    return Response(file.content, headers=headers, media_type=file.media_type)


async def keep(request: Request) -> Response:
    place, seat = place_of(request), _seat(request)
    kept = place.offer.kept
    if kept is None:
        raise HTTPException(404, "nothing is kept here; start the demo with --keep FOLDER")
    async with seat.lock:
        photo_file, annotation = await place.apart(partial(kept.keep, seat.session))
    folder = kept.folder
    return json_response(
        wire.Kept(
            photo=str(photo_file),
            annotation=str(annotation),
            folder=str(folder),
            objects=len(seat.session.state.objects),
            next=f"{typed('seem-data')} build --polys {shlex.quote(str(folder))} "
            f"--colors {shlex.quote(str(folder / 'categories.json'))} --out dataset-kept",
        )
    )


# ── how ────────────────────────────────────────────────────────────────────────────────────────────────


def _seat(request: Request) -> Seat:
    seat = place_of(request).seats.get(request.path_params["session"])
    if seat is None:
        raise HTTPException(404, NO_SESSION)
    return seat


def _object(request: Request) -> int:
    return whole(request.path_params["object"], "object", 1, 2**31 - 1)


def _longest(request: Request) -> int | None:
    """Of masks, as of the photo that is shown; curl may want them as they are."""
    return query_int(request, "longest", *_LONGEST_SIDE)


def _json_limit(request: Request) -> int:
    return place_of(request).offer.limits.json


async def _by_model(request: Request, work: Callable[[DemoSession], Any]) -> Response:
    place, seat, longest = place_of(request), _seat(request), _longest(request)
    start = time.perf_counter()

    def ask() -> wire.NothingFound | None:
        try:
            work(seat.session)
        except NothingFoundError as missed:  # an answer too
            return wire.NothingFound(str(missed), missed.best)
        return None

    async with seat.lock:
        before = seat.session.state.objects
        done = await place.queue.run(ask, seat.id)
        table = await place.apart(partial(_table, seat.session, longest, before))
    if seat.embed_ms is None and seat.error is None:
        seat.embed_ms = seat.session.look_ms
    table.timing, table.not_found = _timing(done, start), done.result
    return json_response(table)


async def _by_hand(request: Request, work: Callable[[DemoSession], Any]) -> Response:
    place, seat, longest = place_of(request), _seat(request), _longest(request)
    start = time.perf_counter()

    def do() -> wire.Table:
        before = seat.session.state.objects
        work(seat.session)
        return _table(seat.session, longest, before)

    async with seat.lock:
        table = await place.apart(do)
    table.timing = wire.Timing(0.0, 0.0, round((time.perf_counter() - start) * 1000, 2))
    return json_response(table)


def _timing(done: WorkResult[Any], start: float) -> wire.Timing:
    total = (time.perf_counter() - start) * 1000
    return wire.Timing(round(done.waited, 2), round(done.worked, 2), round(total, 2))


def _table(session: DemoSession, longest: int | None, before: tuple[DemoObject, ...] | None) -> wire.Table:
    """With the masks of all objects, or of those that are not as before."""
    known = {one.revision for one in before or ()}
    state = session.state
    rows = [one.row(longest, with_mask=one.revision not in known) for one in state.objects]
    changed = [one.id for one in state.objects if one.revision not in known]
    return wire.Table(rows, session.history.can_undo, session.history.can_redo, changed)


_SESSION = "/api/sessions/{session}"


def _on_table(
    method: str, path: str, summary: str, handler: Handler, body: type[msgspec.Struct] | None = None
) -> Operation:
    """Something about a session's objects that is answered with all of them."""
    query = (("longest", _LONGEST_SIDE),)
    return Operation(method, f"{_SESSION}/{path}", summary, handler, body, wire.Table, query=query)


OPERATIONS = (
    Operation("GET", "/api/about", "The model, and what this server offers", about, reply=wire.About),
    Operation("GET", "/api/album", "The photos of --images, least sure first", album, reply=wire.AlbumReply),
    Operation(
        "POST",
        "/api/sessions",
        "Open a photo: its bytes, and a name for what is saved",
        open_photo,
        body="photo",
        reply=wire.Status,
        status=201,
        query=(("name", None),),
    ),
    Operation(
        "POST",
        "/api/album/open",
        "Open a photo of --images",
        open_from_album,
        body=wire.AlbumChoice,
        reply=wire.Status,
        status=201,
    ),
    Operation(
        "GET",
        _SESSION,
        "How a session is doing; waits for news if told how many seconds",
        status,
        reply=wire.Status,
        query=(("wait", (0, _LONGEST_WAIT)),),
    ),
    Operation("DELETE", _SESSION, "Forget a session", leave, status=204),
    Operation(
        "GET", f"{_SESSION}/photo", f"The upright photo, at most {SHOWN} pixels", photo, reply="image/jpeg"
    ),
    Operation(
        "PUT",
        f"{_SESSION}/reference",
        "Another photo, to show what is looked for",
        reference,
        body="photo",
        reply=wire.ReferenceRow,
    ),
    _on_table("GET", "objects", "All objects with masks", objects),
    _on_table("POST", "prompt", "Ask for an object", prompt, wire.Prompt),
    _on_table("POST", "everything", "Ask for everything", everything, wire.EverythingRequest),
    _on_table("POST", "edit", "Draw or take away pixels", edit, wire.Edit),
    _on_table("POST", "merge", "Make several objects one", merge, wire.Merge),
    _on_table("PATCH", "objects/{object}", "Name an object", rename, wire.Rename),
    _on_table("DELETE", "objects/{object}", "Delete an object", delete),
    _on_table("POST", "undo", "Take a step back", undo),
    _on_table("POST", "redo", "Take it again", redo),
    _on_table("POST", "clear", "Empty the table", clear),
    _on_table("GET", "compare", "What the base says to the same questions", compare),
    Operation("GET", f"{_SESSION}/save/{{form}}", "The table as a file", save, reply="*/*"),
    Operation(
        "POST", f"{_SESSION}/keep", "Write photo and LabelMe file for seem-data build", keep, reply=wire.Kept
    ),
)
