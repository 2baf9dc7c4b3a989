"""What a run tells, on a screen and in files."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from seem_data.common.wording import table
from seem_train.formatting import count_text, size_text, time_text
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


def _rows(log: Log, first: int, last: int, picture: Path) -> None:
    """A row a step, an evaluation with a picture every second one."""
    for step in range(first, last + 1):
        log.row({"split": "train", "step": step, "loss": 1.0 / step})
        if step % 2 == 0:
            log.row({"split": "val", "step": step, "PQ": float(step)})
            log.picture(step, "previews", picture)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (4, 3)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def _killed_and_resumed(run: Path, picture: Path, **where: bool) -> None:
    """Killed twice: after a save at step 5 that came before step 4's evaluation was saved, and at step 3."""
    for resumed, evaluated, last in ((0, -1, 7), (5, 2, 8), (3, 2, 9)):
        log = Log(run, stream=io.StringIO(), **where)
        log.resume(resumed, evaluated)
        _rows(log, resumed + 1, last, picture)
        if last < 9:
            del log  # as a kill leaves it: nothing is closed
        else:
            with log:
                pass


def test_tensorboard_holds_no_point_twice_after_kills(tmp_path: Path, picture: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _killed_and_resumed(tmp_path / "run", picture, tensorboard=True)
    found = reading.EventAccumulator(str(tmp_path / "run" / "tb")).Reload()
    assert [event.step for event in found.Scalars("train/loss")] == list(range(1, 10))
    assert [event.step for event in found.Scalars("val/PQ")] == [2, 4, 6, 8]
    assert [event.step for event in found.Images("previews")] == [2, 4, 6, 8]


def test_tensorboard_that_is_asked_for_later_gets_the_rows_of_before(tmp_path: Path, picture: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Log(tmp_path / "run", stream=io.StringIO()) as log:
        _rows(log, 1, 4, picture)
    with Log(tmp_path / "run", stream=io.StringIO(), tensorboard=True) as log:
        log.resume(4, 4)
        _rows(log, 5, 6, picture)
    found = reading.EventAccumulator(str(tmp_path / "run" / "tb")).Reload()
    assert [event.step for event in found.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]


class _FakeWandb(ModuleType):
    """What Weights & Biases is told, over all processes of a run."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.logged: list[tuple[int, str]] = []
        self.api, self.id = SimpleNamespace(api_key=None), "abc"

    def init(self, **_: object) -> _FakeWandb:
        return self

    def log(self, numbers: dict[str, object], step: int) -> None:
        self.logged += [(step, name) for name in numbers]

    def Image(self, path: str) -> str:
        return path

    def finish(self) -> None: ...


def test_weights_and_biases_is_told_nothing_twice_after_kills(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = _FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    _killed_and_resumed(tmp_path / "run", picture, wandb=True)
    assert len(wandb.logged) == len(set(wandb.logged))
    assert [step for step, name in wandb.logged if name == "train/loss"] == list(range(1, 10))
    assert [step for step, name in wandb.logged if name == "previews"] == [2, 4, 6, 8]


def test_a_run_of_before_with_weights_and_biases_doubles_nothing_that_is_kept(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = _FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with Log(tmp_path, stream=io.StringIO(), wandb=True) as log:
        _rows(log, 1, 4, picture)
    (tmp_path / "wandb-sent.json").unlink()  # which earlier versions did not write
    before = list(wandb.logged)
    with Log(tmp_path, stream=io.StringIO(), wandb=True) as log:
        log.resume(4, 4)
        assert wandb.logged == before
        _rows(log, 5, 5, picture)
    assert wandb.logged == [*before, (5, "train/loss")]
