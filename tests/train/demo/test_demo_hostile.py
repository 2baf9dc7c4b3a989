"""Slow: what the API's own description makes up, and many at once for a while; memory comes back."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from demo_photos import offer, photo
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi

from seem_train.demo.http.app import make_app
from seem_train.demo.limits import Limits

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("SEEM_LOAD_SECONDS", "30"))  #: for how long a crowd asks
SESSIONS = 50
CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.positive_data_acceptance,
    openapi.negative_data_rejection,
]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A real server on this machine, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = make_app(offer(tmp_path / "kept", Limits(body=1 << 20, embedded=64 << 20)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_keep_alive=120))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_the_api_does_what_its_description_says(address: str, mode: str) -> None:
    """What is of the form described is never refused for its form; what is not, always, and with a reason."""
    # 400 is for what has the right form and cannot be done: a mark beside the photo, bytes that are no photo.
    could = ["2xx", "400", "404", "503"]
    config = schemathesis.Config.from_dict(
        {"checks": {"positive_data_acceptance": {"expected-statuses": could}}}
    )
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", config=config)
    session = httpx.post(f"{address}/api/sessions", content=photo()).json()["id"]
    asked: set[str] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        mine = "{session}" in operation.path and operation.method.upper() != "DELETE"
        known = {"session": session} if mine or "{object}" in operation.path else {}
        generated = operation.as_strategy(schemathesis.GenerationMode(mode), path_parameters=known or None)

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=generated)
        def ask(case: Any) -> None:
            case.call_and_validate(checks=CHECKS)

        try:
            ask()
        except Unsatisfiable:  # there is nothing in the request that could be wrong
            assert (
                mode == "negative"
                and not operation.query
                and operation.definition.raw.get("requestBody") is None
            )
            continue
        asked.add(operation.label)
    assert len(asked) >= (20 if mode == "positive" else 12)


def _resident() -> float:
    """Megabytes of this process."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells memory on Linux only")
def test_many_sessions_for_a_while_leave_no_memory_behind(address: str) -> None:
    answered = 0
    refused: list[str] = []

    async def person(client: httpx.AsyncClient, number: int, until: float) -> None:
        nonlocal answered
        opened = await client.post("/api/sessions", content=photo(seed=number))
        path = f"/api/sessions/{opened.json()['id']}"
        while time.monotonic() < until:
            for method, what, body in [
                ("POST", "prompt", {"points": [{"x": 30 + number, "y": 40}]}),
                ("POST", "prompt", {"text": "the mug"}),
                ("POST", "edit", {"polygon": [[5, 5], [60, 5], [60, 60]]}),
                ("POST", "undo", None),
                ("GET", "objects", None),
                ("POST", "clear", None),
            ]:
                answer = await client.request(method, f"{path}/{what}", json=body)
                answered += answer.status_code == 200
                if answer.status_code != 200:
                    refused.append(answer.text)
                await asyncio.sleep(0.2)
        assert (await client.delete(path)).status_code == 204

    async def crowd(seconds: float) -> None:
        until = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=SESSIONS)
        async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
            await asyncio.gather(*(person(client, number, until) for number in range(SESSIONS)))

    asyncio.run(crowd(SECONDS / 3))  # all that is made once is made
    gc.collect()
    before = _resident()
    asyncio.run(crowd(SECONDS))
    gc.collect()
    after = _resident()
    print(f"{SESSIONS} sessions, {SECONDS:g} s: {answered} answers, {before:.0f} ─▶ {after:.0f} MB")
    assert not refused
    assert after < before + 40
