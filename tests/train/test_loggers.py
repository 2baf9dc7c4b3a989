"""What a run tells, on a screen and in files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from seem_train.formatting import count_text, size_text, table, time_text
from seem_train.training.reporting.curves import draw_curves
from seem_train.training.reporting.loggers import Log


def test_rows_go_to_both_files_and_columns_are_the_union(tmp_path: Path) -> None:
    with Log(tmp_path, stream=io.StringIO()) as log:
        log.row({"split": "train", "step": 1, "loss": 2.5})
        log.row({"split": "val", "step": 1, "PQ": 12.0})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 1]
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"split": "train", "step": "1", "loss": "2.5", "PQ": ""}


def test_what_a_crash_undid_is_forgotten_also_half_a_line(tmp_path: Path) -> None:
    with Log(tmp_path, stream=io.StringIO()) as log:
        for step in range(1, 6):
            log.row({"split": "train", "step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"split": "tra')
    with Log(tmp_path, stream=io.StringIO()) as log:
        log.resume(3, 3)
        log.row({"split": "train", "step": 4, "again": 1})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and rows[-1]["again"] == 1


def test_without_a_terminal_progress_is_plain_lines_now_and_then(tmp_path: Path) -> None:
    screen = io.StringIO()
    with Log(tmp_path, stream=screen) as log:
        log.progress("step 1", plain=True)
        log.progress("step 2", plain=False)
        log.say("zero-shot    PQ 31.2")
    assert screen.getvalue() == "step 1\nzero-shot    PQ 31.2\n"
    assert (tmp_path / "log.txt").read_text() == screen.getvalue()


def test_other_processes_are_silent(tmp_path: Path) -> None:
    screen = io.StringIO()
    with Log(tmp_path / "run", quiet=True, stream=screen) as log:
        log.say("hello")
        log.row({"split": "train", "step": 1})
    assert screen.getvalue() == "" and not (tmp_path / "run").exists()


def test_curves_are_drawn_from_rows(tmp_path: Path) -> None:
    rows = [{"split": "train", "step": s, "loss": 10.0 / s, "loss_mask_ce": 1.0} for s in range(1, 9)]
    rows += [{"split": "val", "step": s, "PQ": 5.0 * s, "mIoU": None} for s in (0, 4, 8)]
    draw_curves(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    draw_curves([], tmp_path / "curves.png")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (count_text(3_560), "3,560"),
        (count_text(1_879_808), "1.88 M"),
        (count_text(341_181_177), "341 M"),
        (size_text(1_365_136_278), "1.37 GB"),
        (time_text(42), "42s"),
        (time_text(700), "11m 40s"),
        (time_text(7500), "2h 05m"),
        (table([["a", "1"], ["bcd", "22"]]), "a     1\nbcd  22"),
    ],
)
def test_numbers_are_short(made: str, expected: str) -> None:
    assert made == expected


def test_tensorboard_gets_the_rows(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with Log(tmp_path, tensorboard=True, stream=io.StringIO()) as log:
        log.row({"split": "train", "step": 1, "loss": 2.5})
    assert list((tmp_path / "tb").glob("events.out.tfevents.*"))


def test_wandb_runs_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with Log(tmp_path, wandb=True, settings={"optim": {"lr": 1e-4}}, stream=io.StringIO()) as log:
        log.row({"split": "train", "step": 1, "loss": 2.5})
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert (tmp_path / "wandb-id.txt").read_text()
