"""Paths that cannot be: too long, below a file, a pipe, a folder where a file is meant. One sentence each."""

from __future__ import annotations

import os

import numpy as np
import pytest
import toy
from PIL import Image
from run_folders import write_run
from tiny_dataset import write_dataset
from typer.testing import CliRunner

from seem_train.cli.app import app

LONG = "x" * 300
VERY_LONG = "/".join(["x" * 200] * 40)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    toy.register_micro()
    root = tmp_path_factory.mktemp("places")
    (root / "file").write_text("")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "photo.png")
    os.mkfifo(root / "pipe")
    os.mkfifo(root / "pipe.safetensors")
    os.mkfifo(root / "pipe.pt")
    run, dataset = write_run(root / "run"), write_dataset(root / "data", images=1)
    names = {
        "run": run,
        "photo": root / "photo.png",
        "dataset": dataset,
        "kitchen": toy.toy_dataset(root / "k"),
    }
    return {"root": str(root)} | {name: str(path) for name, path in names.items()}


PREDICT, EVALUATE = "predict {run} {photo} --size 32", "evaluate {run} {dataset} --size 32 --tasks panoptic"
TRAIN = "run {kitchen} --model micro --weights random --device cpu --size 64 --steps 1 --batch 1"
LONG_ONES = (LONG, VERY_LONG)
IMPOSSIBLE = [
    *(f"{PREDICT} --out {{root}}/{place}" for place in ("file/out", *LONG_ONES)),
    *(f"{EVALUATE} --out {{root}}/{place}" for place in ("file/out", LONG)),
    *(f"{TRAIN} --out {{root}}/{place}" for place in ("file/out", *LONG_ONES)),
    *(f"export {{run}} --merge --out {{root}}/{place}.safetensors" for place in ("file/out", LONG)),
    *(f"predict {place} {{photo}}" for place in (*LONG_ONES, "{root}/pipe.pt", "{root}/pipe.safetensors")),
    *(f"predict {{run}} {place}" for place in (*LONG_ONES, "{root}/pipe")),
    *(f"evaluate {{run}} {place}" for place in (*LONG_ONES, "{root}/pipe", "{root}/file")),
    *(f"run {place} --model micro --weights random" for place in (*LONG_ONES, "{root}/pipe")),
    *(f"run {{kitchen}} --weights {place}" for place in (*LONG_ONES, "{root}/pipe.pt", "{root}/file")),
    *(f"run {{kitchen}} --config {place}" for place in (*LONG_ONES, "{root}")),
    *(f"{TRAIN} --resume {place}" for place in (*LONG_ONES, "{root}/file")),
    *(f"init {place}" for place in (*LONG_ONES, "{root}/file/run.yaml")),
    *(f"weights inspect {place}" for place in (*LONG_ONES, "{root}/pipe.pt", "{root}")),
]


@pytest.mark.parametrize("words", IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_a_place_that_cannot_be_is_one_sentence(places: dict[str, str], words: str) -> None:
    toy.register_micro()
    done = CliRunner().invoke(app, words.format(**places).split())
    assert isinstance(done.exception, SystemExit), (words, done.exception)
    assert done.exit_code == 2 and "Traceback" not in done.output, done.output
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, done.stderr
