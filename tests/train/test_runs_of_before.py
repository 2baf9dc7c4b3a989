"""Runs that earlier versions were stopped in go on, and what they do not tell is told."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import toy

from seem_train.training import trainer
from seem_train.training.checkpoint import Checkpoint

RECORDED = Path(__file__).parent / "recorded"
UNTOLD = "was saved by an earlier version, which did not note its data"


pytestmark = pytest.mark.usefixtures("micro")


def test_a_run_that_did_not_note_its_data_goes_on_and_says_so(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recorded by the version before checkpoints named their data; it kept no base weights either."""
    run = Path(shutil.copytree(RECORDED / "stopped_run", tmp_path / "run"))
    assert "data_sha256" not in json.loads((run / "last" / "manifest.json").read_text())
    done = trainer.run(toy.settings(dataset, run, run__steps=6, optim__ema=True))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert done.finished and [json.loads(line)["step"] for line in lines][:4] == [1, 2, 3, 4]
    assert f"! {run} {UNTOLD}" in capsys.readouterr().out
    assert json.loads((run / "last" / "manifest.json").read_text())["data_sha256"], "from now on it does"
    trainer.run(toy.settings(dataset, run, run__steps=7, optim__ema=True))
    assert UNTOLD not in capsys.readouterr().out


def test_a_run_that_goes_on_lets_go_of_its_checkpoint(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(RECORDED / "stopped_run", tmp_path / "run"))
    held: list[Checkpoint] = []
    teach = trainer.teach

    def watched(*arguments: Any) -> None:
        held.extend(found for found in gc.get_objects() if type(found) is Checkpoint)
        teach(*arguments)

    monkeypatch.setattr(trainer, "teach", watched)
    assert trainer.run(toy.settings(dataset, run, run__steps=6, optim__ema=True)).finished
    assert not held
