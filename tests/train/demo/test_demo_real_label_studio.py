"""Slow: the real Label Studio connects the demo as its ML backend, gets pre-annotations, and asks a click.

Label Studio wants an environment of its own: `python -m venv X; X/bin/pip install label-studio`, and its
`label-studio` on the PATH or named by $LABEL_STUDIO. A first start fills its database, which takes minutes on
a busy machine; one that runs already, with the token below, may be named by $LABEL_STUDIO_URL. It must know
ML_BLOCK_LOCAL_IP=0 and USE_DEFAULT_BANNED_SUBNETS=0: it refuses backends on its own machine otherwise.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from demo_photos import HEIGHT, WIDTH, offer, photo

from seem_data.readers._brush import decode_brush
from seem_train.demo.http.app import make_app
from seem_train.demo.label_studio import backend as label_studio
from seem_train.demo.label_studio.photos import StudioPhotos

STUDIO = os.environ.get("LABEL_STUDIO_URL") or os.environ.get("LABEL_STUDIO") or shutil.which("label-studio")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        STUDIO is None, reason="label-studio is neither on the PATH nor named by $LABEL_STUDIO"
    ),
]
TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONFIG = """<View><Image name="photo" value="$image"/>
<BrushLabels name="mask" toName="photo" smart="true"><Label value="mug"/><Label value="plate"/></BrushLabels>
<KeyPointLabels name="point" toName="photo" smart="true"><Label value="mug"/></KeyPointLabels></View>"""


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _client(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers={"Authorization": f"Token {TOKEN}"}, timeout=120)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    if running := os.environ.get("LABEL_STUDIO_URL"):
        yield _client(running)
        return
    data, port = tmp_path_factory.mktemp("studio"), _free_port()
    command = [str(STUDIO), "start", "--no-browser", "--port", str(port), "--internal-host", "127.0.0.1"]
    command += ["--username", "a@b.example", "--password", "seem-tools-1", "--user-token", TOKEN]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "False",
        "ML_BLOCK_LOCAL_IP": "0",
        "USE_DEFAULT_BANNED_SUBNETS": "0",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "True",
    }
    with (data / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    client = _client(f"http://127.0.0.1:{port}")
    for _ in range(900):
        try:
            if client.get("/health").status_code == 200:
                break
        except httpx.HTTPError:
            time.sleep(1)
        assert server.poll() is None, (data / "log.txt").read_text()[-2000:]
    yield client
    server.terminate()
    server.wait(30)


@pytest.fixture
def backend(studio: httpx.Client, tmp_path: Path) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    photos = StudioPhotos(str(studio.base_url), TOKEN, 1 << 20)
    app = make_app(offer(tmp_path / "kept"), more=label_studio.routes(photos))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


def test_label_studio_is_served(studio: httpx.Client, backend: str) -> None:
    project = studio.post("/api/projects", json={"title": "seem", "label_config": CONFIG}).json()["id"]
    sent = studio.post(f"/api/projects/{project}/import", files={"file": ("shelf.png", photo(), "image/png")})
    assert sent.status_code == 201, sent.text
    (task,) = studio.get("/api/tasks", params={"project": project}).json()["tasks"]
    connected = studio.post(
        "/api/ml", json={"project": project, "url": backend, "title": "seem", "is_interactive": True}
    )
    assert connected.status_code == 201, connected.text
    assert connected.json()["state"] == "CO", "connected"

    click = {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {"x": 30, "y": 40, "width": 1, "keypointlabels": ["mug"]},
        "id": "k1",
        "from_name": "point",
        "to_name": "photo",
        "type": "keypointlabels",
        "is_positive": True,
    }
    asked = {"task": task["id"], "context": {"result": [click]}}
    answer = studio.post(f"/api/ml/{connected.json()['id']}/interactive-annotating", json=asked).json()
    (result,) = answer["data"]["result"]
    assert result["from_name"] == "mask" and result["value"]["brushlabels"] == ["mug"]
    mask = decode_brush(bytes(result["value"]["rle"]), HEIGHT, WIDTH)
    assert np.count_nonzero(mask)

    fetched = studio.post(
        "/api/dm/actions",
        params={"id": "retrieve_tasks_predictions", "project": project},
        json={"selectedItems": {"all": True, "excluded": []}},
    )
    assert fetched.status_code == 200, fetched.text
    (prediction,) = studio.get("/api/predictions", params={"task": task["id"]}).json()
    assert prediction["model_version"] == "toy 0"
