"""Whole training steps of the original, replayed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parity.compare import main

STEP = "f3_train_grid_multi_iter1"


@pytest.fixture
def one_case(shared_parity: Path, tmp_path: Path) -> Path:
    """A folder with one case and the files it names, writable."""
    for name in ("tiny_v1", STEP):
        shutil.copytree(shared_parity / name, tmp_path / name, copy_function=shutil.copyfile)
        (tmp_path / name).chmod(0o755)
    return tmp_path / STEP


def test_a_refined_step_with_ragged_prompts_equals_the_original(
    shared_parity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(shared_parity / STEP)]) == 0
    assert "equal" in capsys.readouterr().out


@pytest.mark.slow
def test_every_recorded_step_equals_the_original(
    shared_parity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [str(f.parent) for f in sorted(shared_parity.glob("f*/case.json"))]
    assert main(steps) == 0
    assert capsys.readouterr().out.count("equal") >= 6


def test_a_difference_fails_the_command_and_is_named(
    one_case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = json.loads((one_case / "case.json").read_text())
    info["raw_losses"]["loss_mask_ce_2"] *= 1.001
    info["matching"][0]["indices"][0][0].reverse()
    info["grad_none"].append(info["grad_norm_names"][0])
    (one_case / "case.json").write_text(json.dumps(info))
    assert main([str(one_case)]) == 1
    shown = " ".join(capsys.readouterr().out.split())  # lines are broken
    assert "loss_mask_ce_2: |Δ|" in shown
    assert "objects, layer 0: matched is" in shown
    assert "in the original it has none" in shown
    assert "MISS" in shown


def test_the_command_replays_a_folder_from_a_clone(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for place, says in ((tmp_path / "nowhere", "holds no golden case"), (None, "name one or more folders")):
        command = [sys.executable, "-m", "tests.parity", *([] if place is None else [str(place)])]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and says in done.stderr
