"""The parity command: whole training steps of the original, replayed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.parity import losses as parity


@pytest.fixture
def one_case(shared_parity: Path, tmp_path: Path) -> Path:
    """A folder with one case and the files it names, writable."""
    for name in ("tiny_v1", "f3_train_grid_multi_iter1"):
        shutil.copytree(shared_parity / name, tmp_path / name, copy_function=shutil.copyfile)
        (tmp_path / name).chmod(0o755)
    return tmp_path / "f3_train_grid_multi_iter1"


def test_a_refined_step_with_ragged_prompts_equals_the_original(
    shared_parity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parity.main([str(shared_parity / "f3_train_grid_multi_iter1")]) == 0
    assert ": ok" in capsys.readouterr().out


@pytest.mark.slow
def test_every_recorded_step_equals_the_original(
    shared_parity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parity.main([str(shared_parity)]) == 0
    assert capsys.readouterr().out.count(": ok") >= 6


def test_a_difference_fails_the_command_and_is_named(
    one_case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = json.loads((one_case / "case.json").read_text())
    info["raw_losses"]["loss_mask_ce_2"] *= 1.001
    info["matching"][0]["indices"][0][0].reverse()
    (one_case / "case.json").write_text(json.dumps(info))
    assert parity.main([str(one_case)]) == 1
    shown = capsys.readouterr().out
    assert "loss_mask_ce_2:" in shown
    assert "objects, layer 0: matched" in shown
    assert "2 FAULTS" in shown


def test_folders_without_cases_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(tmp_path / "nowhere")]) == 2
    assert parity.main([str(tmp_path)]) == 2
    assert parity.main([]) == 2
    assert "no golden case" in capsys.readouterr().err
