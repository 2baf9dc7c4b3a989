"""No module opens a network connection but those that are there to fetch weights."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import toy

import seem_train
from seem_train.training import trainer

ROOT = Path(__file__).parents[2]
#: libraries that open connections; `requests` and the like are no dependency, but might become one
NETWORK = {"urllib.request", "http", "socket", "ftplib", "smtplib", "ssl", "requests", "httpx", "aiohttp"}
NETWORK |= {"huggingface_hub", "torch.hub", "urllib3", "asyncio"}
ALLOWED = {
    "seem_train/weights/checkpoints.py": "seem-train weights get",
    "seem_train/weights/hub.py": "pretrained weights of model.trunk",
    "seem_data/engines/ray.py": "--engine ray asks the cluster that the user names",
    "seem_train/runtime.py": "finds a free port of this machine for the processes of a run",
}
#: rooms that serve a page to the browser of this machine
SERVING = ("seem_train/demo/",)


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def opens_connections(names: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in names for module in NETWORK)


def test_only_the_fetching_of_weights_imports_what_opens_connections() -> None:
    found = {
        str(file.relative_to(ROOT))
        for package in ("seem_data", "seem_train")
        for file in (ROOT / package).rglob("*.py")
        if opens_connections(imported(file))
    }
    assert {file for file in found if not file.startswith(SERVING)} <= set(ALLOWED)
    assert "seem_train/weights/checkpoints.py" in found, "the test looks at nothing"


def test_training_evaluating_and_exporting_connect_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process does; several speak with each other, on this machine."""

    def refused(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    toy.register_micro()
    dataset = toy.toy_dataset(tmp_path / "kitchen", train=2, val=1)
    run = trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=1, strategy__name="lora"))
    seem_train.evaluate(str(run.folder), dataset, tasks=["panoptic"], size=64)
    seem_train.export(str(run.folder), tmp_path / "plain.safetensors", merge=True)


@pytest.mark.slow
def test_opening_and_using_a_model_connects_to_nothing(tmp_path: Path) -> None:
    script = """
import socket

def refused(*_, **__):
    raise AssertionError("a connection was opened")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = refused
socket.getaddrinfo = refused
import numpy as np
import torch
from seem_train import Predictor, load_model

predictor = Predictor(load_model("tiny"))
predictor.set_image(np.zeros((64, 96, 3), np.uint8))
predictor.panoptic()
predictor.segment(text="a mug", points=[(30, 40)])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
