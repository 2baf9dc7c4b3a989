"""Names in datasets, runs and files may come from anybody; none of them steers the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toy
from run_folders import write_run
from tiny_dataset import write_dataset
from typer.testing import CliRunner

from seem_train.cli.app import app
from seem_train.training import trainer

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
STEERING = set("\x1b\x07\x9b\u202e")


def _rename(dataset: Path, name: str) -> None:
    for file in (dataset / "categories.json", *dataset.glob("*/panoptic.json")):
        tree = json.loads(file.read_text())
        for row in tree if isinstance(tree, list) else tree["categories"]:
            row["name"] = row["name"] + name
        file.write_text(json.dumps(tree))


def test_a_run_prints_and_logs_no_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.register_micro()
    dataset = toy.toy_dataset(tmp_path / "kitchen\x1b[1m", train=2, val=1)
    _rename(dataset, ESCAPES)
    trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=1))
    said = "".join(capsys.readouterr()) + (tmp_path / "run" / "log.txt").read_text()
    assert "mug\\u001b]0;owned" in said and not set(said) & STEERING


def test_evaluate_and_predict_print_no_escapes(tmp_path: Path) -> None:
    dataset, run = write_dataset(tmp_path / "dish\x1b[1m", images=2), write_run(tmp_path / "run")
    _rename(dataset, ESCAPES)
    photo = next((dataset / "val" / "images").iterdir()).rename(tmp_path / "a\x1b[2Jb.png")
    predict = ["predict", run, photo, "--object-threshold", "0", "--size", "32", "--out", tmp_path / "out"]
    predict += ["--categories", f"mug{ESCAPES},plate"]
    said = "".join(_said(words) for words in (predict, [*predict, "--json"], ["evaluate", run, dataset]))
    assert "a\\u001b[2Jb.png" in said and not set(said) & STEERING


def _said(words: list[object]) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output
