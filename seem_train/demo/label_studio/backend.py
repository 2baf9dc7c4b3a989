"""Label Studio's ML backend protocol: pre-annotations of tasks, and answers to smart tools.

In Label Studio: Settings ─▶ Model ─▶ Connect model, with this server's address, "interactive" on. The labels
of the project are the categories the model looks for. Label Studio refuses backends on its own machine unless
it was started with ML_BLOCK_LOCAL_IP=0 and USE_DEFAULT_BANNED_SUBNETS=0. It sends no bearer: to a server that
asks for a token, choose basic authentication there, with the token for the password.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from seem_data.writers import MarkedSegment, WrittenPhoto, labelstudio
from seem_train.demo import masks
from seem_train.demo.asking import NothingFoundError
from seem_train.demo.http.bodies import json_response, read_json
from seem_train.demo.label_studio.interface import Interface, read_interface
from seem_train.demo.label_studio.marks import prompt_of
from seem_train.demo.label_studio.photos import StudioPhotos
from seem_train.demo.objects import DemoObject
from seem_train.demo.session import DemoSession
from seem_train.demo.workplace import Workplace
from seem_train.errors import UserError

Fields: TypeAlias = dict[str, Any]
_TASKS = 50  #: of one request


class Setup(msgspec.Struct):
    """What Label Studio sends to /setup; more is in it, which is not needed."""

    schema: str = ""


class Params(msgspec.Struct):
    context: Fields | None = None


class Predict(msgspec.Struct):
    """What Label Studio sends to /predict."""

    tasks: list[Fields]
    label_config: str
    params: Params | None = None
    context: Fields | None = None


def routes(photos: StudioPhotos) -> tuple[Route, ...]:
    return (
        Route("/health", _health, methods=["GET"]),
        Route("/setup", _setup, methods=["POST"]),
        Route("/predict", partial(_predict, photos), methods=["POST"]),
    )


async def _health(_: Request) -> Response:
    return json_response({"status": "UP", "model_class": "seem-tools"})


async def _setup(request: Request) -> Response:
    place: Workplace = request.app.state.workplace
    body = await read_json(request, Setup, place.offer.limits.json)
    if body.schema:
        read_interface(body.schema)
    return json_response({"model_version": place.offer.model.name})


async def _predict(photos: StudioPhotos, request: Request) -> Response:
    place: Workplace = request.app.state.workplace
    body = await read_json(request, Predict, place.offer.limits.body)
    if len(body.tasks) > _TASKS:
        raise HTTPException(422, f"{len(body.tasks)} tasks at once; at most {_TASKS} are taken")
    interface = read_interface(body.label_config)
    context = (body.params.context if body.params else None) or body.context or {}
    drawn = context.get("result") or []
    if not isinstance(drawn, list) or not all(isinstance(one, Mapping) for one in drawn):
        raise HTTPException(422, "the request: context.result must be a list of results")
    results = []
    for task in body.tasks:
        session = await place.apart(partial(_session, place, photos, task, interface))
        everything = partial(session.everything, interface.labels)
        work = partial(_asked, session, drawn, interface) if drawn else everything
        results.append(await _answer(place, session, interface, work))
    return json_response({"results": results, "model_version": place.offer.model.name})


def _session(place: Workplace, photos: StudioPhotos, task: Fields, interface: Interface) -> DemoSession:
    named = (task.get("data") or {}).get(interface.photo)
    if not isinstance(named, str) or not named:
        raise UserError(f"task {task.get('id')}: has no photo in data.{interface.photo}")
    content = photos.fetch(named)
    offer = place.offer
    key = hashlib.sha256(content).hexdigest()
    return DemoSession(offer.model, content, named.rpartition("/")[2][:100], None, offer.limits, key)


def _asked(session: DemoSession, drawn: list[Fields], interface: Interface) -> list[DemoObject]:
    prompt, label = prompt_of(drawn, session.size)
    found = session.prompt(prompt)
    known = {name.casefold(): name for name in interface.labels}
    name = label or known.get(found.name.casefold()) or interface.labels[0]
    return [session.rename(found.id, known.get(name.casefold(), interface.labels[0]))]


async def _answer(
    place: Workplace, session: DemoSession, interface: Interface, work: Callable[[], list[DemoObject]]
) -> Fields:
    def ask() -> list[DemoObject]:
        try:
            return work()
        except NothingFoundError:
            return []

    done = await place.queue.run(ask, "label-studio")
    return await place.apart(partial(_prediction, session, interface, done.result, place.offer.model.name))


def _prediction(session: DemoSession, interface: Interface, found: list[DemoObject], version: str) -> Fields:
    segments = [MarkedSegment(o.name, masks.decode(o.mask), score=o.score).cropped() for o in found]
    photo = WrittenPhoto(session.name, (session.size[1], session.size[0]))
    results = labelstudio.encode(photo, segments, shapes=tuple(interface.controls))
    for result in results:
        control = interface.controls[str(result["type"]).removesuffix("labels")]
        result |= {"id": f"seem-{session.key[:8]}-{result['id']}", "readonly": False}
        result["from_name"], result["to_name"] = control.name, control.image
        result.pop("meta", None)  # the score has a field of its own
    scores = [one.score for one in found if one.score is not None]
    return {
        "result": results,
        "score": round(sum(scores) / len(scores), 4) if scores else 0.0,
        "model_version": version,
    }
