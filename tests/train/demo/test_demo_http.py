"""The demo over HTTP, as curl and the page ask it; and what it refuses."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from demo_photos import HEIGHT, WIDTH, demo_session, offer, photo
from PIL import Image
from starlette.testclient import TestClient

from seem_train.demo import workplace
from seem_train.demo.http.app import PAGE, make_app
from seem_train.demo.limits import Limits
from seem_train.demo.seats import AllTakenError, Seats
from seem_train.demo.session import DemoSession
from seem_train.demo.work_queue import GoneError, Lane, QueueFullError, WorkQueue

LIMITS = Limits(body=200_000, json=20_000, pixels=1_000_000, sessions=3, queue=8)
OWN = "http://localhost:8765"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "album").mkdir()
    for number in range(3):
        (tmp_path / f"album/{number}.png").write_bytes(photo(seed=number))
    (tmp_path / "album/3.png").write_bytes(b"damaged")
    made = offer(tmp_path / "kept", LIMITS, sorted((tmp_path / "album").iterdir()))
    with TestClient(make_app(made), base_url=OWN) as client:
        yield client


def _open(client: TestClient, name: str = "shelf.png") -> str:
    answer = client.post("/api/sessions", params={"name": name}, content=photo())
    assert answer.status_code == 201, answer.text
    return f"/api/sessions/{answer.json()['id']}"


def _ready(client: TestClient, session: str) -> dict[str, Any]:
    status = client.get(session).json()
    while status["state"] in ("waiting", "looking"):
        status = client.get(session, params={"wait": 20}).json()
    assert status["state"] == "ready"
    return status


def _click(x: float = 30, y: float = 40, **more: Any) -> dict[str, Any]:
    return {"points": [{"x": x, "y": y}], **more}


# The way of a photo. ---------------------------------------------------------------------------------------


def test_a_photo_is_opened_asked_corrected_saved_and_kept(client: TestClient, tmp_path: Path) -> None:
    session = _open(client)
    status = _ready(client, session)
    assert status["embed_ms"] > 0
    assert (status["width"], status["height"]) == (WIDTH, HEIGHT)
    assert client.get(f"{session}/photo").headers["content-type"] == "image/jpeg"
    table = client.post(f"{session}/prompt", json=_click()).json()
    (found,) = table["objects"]
    assert found["mask"]["size"] == [HEIGHT, WIDTH] and table["changed"] == [found["id"]]
    assert 0 < table["timing"]["model"] <= table["timing"]["total"]
    table = client.post(f"{session}/prompt", json=_click(90, 60, object=found["id"])).json()
    assert [row["revision"] for row in table["objects"]] != [found["revision"]]
    assert (
        client.patch(f"{session}/objects/{found['id']}", json={"name": "cup"}).json()["objects"][0]["name"]
        == "cup"
    )
    line = {"object": found["id"], "add": False, "brush": [[5, 5], [50, 50]], "width": 9}
    assert client.post(f"{session}/edit", json=line).json()["objects"][0]["edited"]
    assert client.post(f"{session}/undo").json()["can_redo"]
    assert client.post(f"{session}/redo").json()["objects"][0]["edited"]
    assert len(client.get(f"{session}/compare").json()["objects"]) == 1
    for form in ("overlay", "panoptic", "coco", "labelme"):
        saved = client.get(f"{session}/save/{form}")
        assert saved.status_code == 200 and "shelf" in saved.headers["content-disposition"]
    kept = client.post(f"{session}/keep").json()
    assert Path(kept["annotation"]) == tmp_path / "kept/shelf.json" and Path(kept["photo"]).is_file()
    assert client.get(session).json()["kept"]
    assert client.post(f"{session}/clear").json()["objects"] == []
    assert client.delete(session).status_code == 204
    assert client.get(session).status_code == 404


def test_what_is_not_found_is_an_answer(client: TestClient) -> None:
    session = _open(client)
    client.post(f"{session}/prompt", json=_click())
    answer = client.post(f"{session}/prompt", json={"text": "the blue ball", "min_score": 1})
    assert answer.status_code == 200
    table = answer.json()
    assert table["not_found"]["reason"].startswith("nothing found for «the blue ball» (best 0.")
    assert len(table["objects"]) == 1 and table["changed"] == []
    assert client.post(f"{session}/prompt", json={"text": "mug", "min_score": 0}).json()["not_found"] is None


def test_masks_that_the_caller_knows_are_not_sent_again(client: TestClient) -> None:
    session = _open(client)
    client.post(f"{session}/prompt", json=_click())
    table = client.post(f"{session}/prompt", json={"box": [10, 10, 60, 60]}).json()
    assert [row["mask"] is None for row in table["objects"]] == [True, False]
    everything = client.get(f"{session}/objects", params={"longest": 70}).json()["objects"]
    assert [row["mask"]["size"] for row in everything] == [[45, 70], [45, 70]]


def test_the_folder_is_shown_least_sure_first(client: TestClient) -> None:
    for _ in range(200):
        album = client.get("/api/album").json()
        if album["looked_at"] == 4:
            break
        client.portal.call(asyncio.sleep, 0.02)  # type: ignore[union-attr]
    rows = album["photos"]
    assert [row["unsure"] for row in rows] == sorted((row["unsure"] for row in rows), reverse=True)
    assert rows[-1]["name"] == "3.png", "one that cannot be read comes last"
    first = client.post("/api/album/open", json={}).json()
    assert first["name"] == rows[0]["name"]
    session = f"/api/sessions/{first['id']}"
    client.post(f"{session}/edit", json={"polygon": [[5, 5], [50, 5], [50, 50]]})
    client.post(f"{session}/keep")
    assert client.get("/api/album").json()["photos"][-1]["name"] == first["name"]
    assert client.post("/api/album/open", json={}).json()["name"] == rows[1]["name"]
    assert client.post("/api/album/open", json={"number": 99}).status_code == 404


def test_the_folder_waits_while_somebody_clicks(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "_CALM", 30.0)
    place = client.app.state.workplace  # type: ignore[attr-defined]
    assert place.queue.calm_for == float("inf")
    session = _open(client)
    client.post(f"{session}/prompt", json=_click())
    seen = client.get("/api/album").json()["looked_at"]
    for x in range(10, 130, 10):
        assert place.queue.calm_for < 30
        client.post(f"{session}/prompt", json=_click(x))
    assert client.get("/api/album").json()["looked_at"] <= seen + 1, "one may have been under way"


def test_the_page_is_served_whole_and_asks_nobody_else(client: TestClient) -> None:
    index = client.get("/")
    assert "text/html" in index.headers["content-type"]
    assert "default-src 'self'" in index.headers["content-security-policy"]
    for file in PAGE.iterdir():
        assert client.get(f"/page/{file.name}").status_code == 200
        assert (
            "http://" not in file.read_text().replace("http://www.w3.org", "")
            and "https://" not in file.read_text()
        )
    assert client.get("/page/../app.py").status_code == 404


def test_the_api_is_described(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert len(document["paths"]) >= 18
    about = client.get("/api/about").json()
    assert about["model"] == "toy 0" and about["base"] == "toy 1" and about["keeps"]


# What is refused. ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "sent", "status", "reason"),
    [
        ("prompt", {"json": {"points": [{"x": 1e5, "y": 0}]}}, 400, "outside"),
        ("prompt", {"json": {}}, 400, "empty"),
        ("prompt", {"json": _click(object=99)}, 404, "not on the table"),
        ("prompt", {"json": {"points": [{"x": "a", "y": 0}]}}, 422, "x"),
        ("prompt", {"json": {"txt": "mug"}}, 422, "txt"),
        ("prompt", {"json": {"text": "m" * 301}}, 422, "length"),
        ("prompt", {"json": {"points": [{"x": 1e400, "y": 0}]}}, 400, "no JSON"),
        ("prompt", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "no JSON"),
        ("prompt", {"content": b'{"text": "mug"}', "headers": {"content-type": "text/plain"}}, 415, "JSON"),
        ("prompt", {"content": b"[" * 19_000, "headers": {"content-type": "application/json"}}, 4, ""),
        ("prompt", {"json": {"text": "x" * 21_000}}, 413, "longer"),
        ("edit", {"json": {"polygon": [[1, 1], [2, 2]]}}, 422, "length"),
        ("edit", {"json": {"brush": [[900, 900]]}}, 400, "nothing is drawn"),
        ("merge", {"json": {"objects": [1, 2]}}, 404, "not on the table"),
        ("keep", {}, 400, "nothing on the table"),
        ("nothing", {}, 404, "Not Found"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_that_cannot_be_done_gets_a_reason(
    client: TestClient, path: str, sent: dict[str, Any], status: int, reason: str
) -> None:
    if "json" in sent and 1e400 in [p.get("x") for p in sent["json"].get("points", [])]:
        sent = {
            "content": b'{"points": [{"x": Infinity, "y": 0}]}',
            "headers": {"content-type": "application/json"},
        }
    answer = client.post(f"{_open(client)}/{path}", **sent)
    assert answer.status_code == status or answer.status_code // 100 == status
    assert reason in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"no photo", 400), (b"x" * 200_001, 413), (photo(1001, 1000, form="GIF"), 413)],
    ids=["nothing", "no photo", "too long", "too many bytes"],
)
def test_photos_that_cannot_be_taken_get_a_reason(client: TestClient, content: bytes, status: int) -> None:
    answer = client.post("/api/sessions", content=content)
    assert answer.status_code == status and answer.json()["error"]


def test_a_small_file_of_too_many_pixels_is_not_decoded(client: TestClient) -> None:
    encoded = io.BytesIO()
    Image.new("1", (8_000, 1_000)).save(encoded, "PNG")
    answer = client.post("/api/sessions", content=encoded.getvalue())
    assert answer.status_code == 400 and "million" in answer.json()["error"]


def test_other_sites_and_names_are_kept_out(client: TestClient) -> None:
    for host in ("rebound.example", "localhost:80@rebound.example", "[::1]rebound.example:80"):
        assert client.get("/api/about", headers={"host": host}).status_code == 403
    assert client.post("/api/sessions", headers={"origin": "https://evil.example"}).status_code == 403
    assert client.post("/api/album/open", json={}, headers={"origin": OWN}).status_code == 201
    for host in ("localhost", "127.0.0.1:80", "[::1]", "[::1]:8765"):
        assert client.get("/api/about", headers={"host": host}).status_code == 200


def test_a_token_is_asked_for_where_others_can_reach_the_server(tmp_path: Path) -> None:
    app = make_app(offer(tmp_path / "kept"), token="secret")
    with TestClient(app, base_url="http://demo.example") as client:
        assert client.get("/").status_code == 200 and client.get("/page/main.js").status_code == 200
        refused = client.get("/api/about")
        assert refused.status_code == 401 and "token" in refused.json()["error"]
        assert client.get("/openapi.json").status_code == 401
        assert client.get("/api/about", params={"token": "wrong"}).status_code == 401
        for shown in (
            {"params": {"token": "secret"}},
            {"headers": {"authorization": "Bearer secret"}},
            {"auth": ("anybody", "secret")},
        ):
            assert client.get("/api/about", **shown).status_code == 200  # type: ignore[arg-type]


def test_sessions_are_bounded_and_the_longest_unused_gives_way() -> None:
    now, left = [0.0], []
    seats = Seats(replace(LIMITS, sessions=2, idle_minutes=10), left.append, lambda: now[0])
    model = demo_session().model
    one, two, three = (DemoSession(model, photo(), f"{n}.png") for n in range(3))
    seats.take(one)
    now[0] = 30
    seats.take(two)
    with pytest.raises(AllTakenError):
        seats.take(three)
    now[0] = 70
    seats.take(three)
    assert [seat.session for seat in left] == [one]
    now[0] = 70 + 601
    assert seats.get(three.key) is None


def test_a_full_house_says_so(client: TestClient) -> None:
    for _ in range(LIMITS.sessions):
        _open(client)
    answer = client.post("/api/sessions", content=photo())
    assert answer.status_code == 503 and answer.headers["retry-after"]


def test_nothing_of_a_session_that_ended_stays(client: TestClient) -> None:
    place = client.app.state.workplace  # type: ignore[attr-defined]
    session = _open(client)
    _ready(client, session)
    client.get(f"{session}/compare")
    models = place.offer.model, place.offer.base
    key = session.rpartition("/")[2]
    assert all(key in model for model in models)
    client.delete(session)
    client.portal.call(place.queue.run, lambda: None, "", Lane.IDLE)  # type: ignore[union-attr]
    gc.collect()
    assert not any(key in model for model in models)
    assert not [o for o in gc.get_objects() if type(o) is DemoSession and o.key == key]


# The queue. ------------------------------------------------------------------------------------------------


def test_quick_work_goes_first_but_not_for_ever() -> None:
    done: list[str] = []

    async def main() -> None:
        queue = WorkQueue(100)
        blocked = asyncio.Event()
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(
            queue.run(lambda: asyncio.run_coroutine_threadsafe(blocked.wait(), loop).result(), "first")
        )
        await asyncio.sleep(0.01)
        others = [
            asyncio.create_task(queue.run(lambda name=name: done.append(name), name, lane))
            for name, lane in [
                ("idle", Lane.IDLE),
                ("slow", Lane.SLOW),
                *((f"q{n}", Lane.QUICK) for n in range(10)),
            ]
        ]
        await asyncio.sleep(0.01)
        assert queue.works_for("first")
        assert [queue.position(name) for name in ("first", "q0", "q9", "slow", "idle")] == [
            None,
            1,
            10,
            11,
            12,
        ]
        blocked.set()
        await asyncio.gather(first, *others)
        await queue.close()

    asyncio.run(main())
    assert (
        done[-1] == "idle"
        and done.index("slow") < done.index("q9")
        and done[:5] == [f"q{n}" for n in range(5)]
    )


def test_too_much_work_is_refused_and_that_of_the_gone_is_dropped() -> None:
    async def main() -> None:
        queue = WorkQueue(2)
        blocked = asyncio.Event()
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(
            queue.run(lambda: asyncio.run_coroutine_threadsafe(blocked.wait(), loop).result(), "a")
        )
        await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(queue.run(lambda: None, name)) for name in ("b", "c")]
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFullError):
            await queue.run(lambda: None, "d")
        queue.forget("b")
        with pytest.raises(GoneError):
            await waiting[0]
        blocked.set()
        done = await waiting[1]
        assert done.waited >= 10 and done.worked >= 0
        with pytest.raises(ZeroDivisionError):
            await queue.run(lambda: 1 / 0, "e")
        await running
        await queue.close()

    asyncio.run(main())
