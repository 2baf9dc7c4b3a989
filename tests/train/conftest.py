"""What most tests of training begin with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy
from hub_server import Handler, Server, point_to
from huggingface_hub import constants


@pytest.fixture
def micro() -> None:
    """The small model is known by its name."""
    toy.register_micro()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.toy_dataset(tmp_path_factory.mktemp("data") / "kitchen")


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's cache is; the hub itself refuses connections until there is a `hub_server`."""
    cache = tmp_path_factory.mktemp("hub")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 18)
    point_to("http://127.0.0.1:9", monkeypatch)
    return cache


@pytest.fixture
def hub_server(hub: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:  # noqa: ARG001
    server = Server(("127.0.0.1", 0), Handler)
    server.asked, server.files = [], {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    point_to(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
