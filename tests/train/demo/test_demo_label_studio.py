"""Label Studio's ML backend protocol, with requests as Label Studio 1.23 sends them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_photos import HEIGHT, WIDTH, offer, photo
from starlette.testclient import TestClient

from seem_data.readers._brush import decode_brush
from seem_data.writers._brush import encode_brush
from seem_train.demo.http.app import make_app
from seem_train.demo.label_studio import backend as label_studio
from seem_train.demo.label_studio.photos import StudioPhotos
from seem_train.errors import UserError

CONFIG = """<View>
  <Image name="photo" value="$picture"/>
  <BrushLabels name="mask" toName="photo"><Label value="Mug"/><Label value="plate"/></BrushLabels>
  <KeyPointLabels name="smart" toName="photo" smart="true"><Label value="Mug"/></KeyPointLabels>
  <PolygonLabels name="outline" toName="photo"><Label value="Mug"/><Label value="plate"/></PolygonLabels>
</View>"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    more = label_studio.routes(StudioPhotos(None, None, 1 << 20))
    with TestClient(make_app(offer(tmp_path), more=more), base_url="http://localhost:9") as client:
        yield client


def _request(
    context: list[dict[str, Any]] | None = None, config: str = CONFIG, **task: Any
) -> dict[str, Any]:
    held = "data:image/png;base64," + base64.b64encode(photo()).decode()
    return {
        "tasks": [{"id": 1, "data": {"picture": held}, "project": 1, "annotations": [], **task}],
        "project": "1.1764112345",
        "label_config": config,
        "params": {
            "login": None,
            "password": None,
            "context": None if context is None else {"result": context, "comment_id": None},
        },
    }


def _drawn(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": value,
        "id": "a1",
        "from_name": "smart",
        "to_name": "photo",
        "type": kind,
        "origin": "manual",
        **more,
    }


def _mask(result: dict[str, Any]) -> np.ndarray:
    return decode_brush(bytes(result["value"]["rle"]), HEIGHT, WIDTH)


CLICK = _drawn("keypointlabels", {"x": 30, "y": 40, "width": 1, "keypointlabels": ["Mug"]}, is_positive=True)


def test_a_backend_is_connected(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "UP"
    asked = {"project": "1.17", "schema": CONFIG, "hostname": "http://localhost:8080", "access_token": "x"}
    assert client.post("/setup", json=asked).json() == {"model_version": "toy 0"}
    refused = client.post("/setup", json={**asked, "schema": "<View><Text name='t' value='$t'/></View>"})
    assert refused.status_code == 400 and "PolygonLabels" in refused.json()["error"]


def test_a_task_is_pre_annotated_with_the_projects_labels(client: TestClient) -> None:
    answer = client.post("/predict", json=_request()).json()
    (prediction,) = answer["results"]
    assert prediction["model_version"] == answer["model_version"] == "toy 0"
    for result in prediction["result"]:
        assert result["from_name"] in ("mask", "outline") and result["to_name"] == "photo"
        assert result["value"][result["type"]][0] in ("Mug", "plate")


def test_a_smart_click_is_answered_with_one_region_of_its_label(client: TestClient) -> None:
    config = CONFIG.replace("PolygonLabels", "EllipseLabels")
    (prediction,) = client.post("/predict", json=_request([CLICK], config)).json()["results"]
    (result,) = prediction["result"]
    assert (result["type"], result["from_name"], result["value"]["brushlabels"]) == (
        "brushlabels",
        "mask",
        ["Mug"],
    )
    opened = client.post("/api/sessions", content=photo()).json()["id"]
    click = {"points": [{"x": 0.3 * WIDTH, "y": 0.4 * HEIGHT}]}
    (row,) = client.post(f"/api/sessions/{opened}/prompt", json=click).json()["objects"]
    assert _mask(result).sum() == row["area"]


@pytest.mark.parametrize(
    "context",
    [
        [CLICK, _drawn("keypointlabels", {"x": 90, "y": 90, "keypointlabels": ["Mug"]}, is_positive=False)],
        [
            _drawn(
                "rectanglelabels", {"x": 10, "y": 10, "width": 95, "height": 30, "rectanglelabels": ["Mug"]}
            )
        ],
        [_drawn("polygonlabels", {"points": [[1, 1], [50, 1], [50, 50]], "polygonlabels": ["Mug"]})],
        [_drawn("textarea", {"text": ["the mug"]})],
        [
            _drawn(
                "brushlabels",
                {
                    "format": "rle",
                    "rle": encode_brush(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % WIDTH < 30),
                    "brushlabels": ["Mug"],
                },
            )
        ],
    ],
    ids=["clicks", "box over the edge", "polygon", "text", "brush"],
)
def test_all_smart_tools_are_prompts(client: TestClient, context: list[dict[str, Any]]) -> None:
    (prediction,) = client.post("/predict", json=_request(context)).json()["results"]
    assert len(prediction["result"]) == 1


def test_where_there_are_only_polygons_a_segment_is_one_polygon(client: TestClient) -> None:
    config = CONFIG.replace("BrushLabels", "EllipseLabels")
    (prediction,) = client.post("/predict", json=_request([CLICK], config)).json()["results"]
    (result,) = prediction["result"]
    assert (result["type"], result["from_name"]) == ("polygonlabels", "outline")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (_request(config="<View"), "cannot be read"),
        (_request(config='<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>'), "cannot be read"),
        (_request(data={}), "no photo in data.picture"),
        (_request(data={"picture": "http://169.254.169.254/secret"}), "--label-studio"),
        (_request([_drawn("video", {})]), "cannot be a prompt"),
        (_request([_drawn("keypointlabels", {"x": "far"})]), "draw it again"),
        (_request([_drawn("brushlabels", {"rle": [1, 2, 3]})]), "draw it again"),
    ],
    ids=["no XML", "entities", "no photo", "elsewhere", "unknown tool", "no number", "damaged brush"],
)
def test_what_cannot_be_answered_gets_a_reason(
    client: TestClient, request_: dict[str, Any], reason: str
) -> None:
    answer = client.post("/predict", json=request_)
    assert answer.status_code == 400 and reason in json.loads(answer.text)["error"]


def test_photos_are_fetched_from_label_studio_alone() -> None:
    photos = StudioPhotos("http://localhost:8080", None, 100)
    for named in (
        "http://evil.example/a.jpg",
        "//evil.example/a.jpg",
        "https://localhost:8080/a",
        "file:///etc/passwd",
    ):
        with pytest.raises(UserError, match="does not lie on"):
            photos.fetch(named)
